// Package limit decides how many calls may be in progress at once.
//
// A [Bulkhead] is the client's side: a fixed number of calls to one service,
// and whoever comes when it is full is refused at once, so that a slow
// dependency cannot hold all of its caller's memory. Less critical calls may fill
// only a part of the places.
//
// A [Throttle] is the client's side too: it holds calls back, at random, when
// the service refuses most of them; the error is then a [*ThrottledError], which
// matches [ErrThrottled].
//
// An [Adaptive] limiter is the server's side: it finds out how many requests
// the server can usefully work on, lets a short queue take up bursts, and when
// there is more than that refuses within microseconds what is least important.
// Where clients are told apart they take turns, so that one that sends most of
// the load does not starve the others.
// A refused request has cost nothing and may be sent to another instance: the
// error is a [*ShedError], which matches [ErrShed].
//
// Nothing here starts a goroutine; every type is safe for concurrent use,
// except a [Ticket], which belongs to one request.
package limit
