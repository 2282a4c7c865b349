// Package balance chooses which endpoint of a service gets a call.
//
// A [Balancer] is given the service's instances as discovery reports them and
// picks an endpoint for each attempt. Every pick is followed by exactly one
// [Endpoint.Done], from which the balancer learns:
//
//	e, err := b.Pick(nil)
//	if err != nil {
//		return err // balance.ErrNoInstances
//	}
//	resp, err := send(e.Addr(), req)
//	e.Done(balance.Result{Outcome: outcomeOf(resp, err), Latency: took})
//
// # Who is passed over
//
//   - Draining: an instance with a negative weight, or one that has left the
//     list, gets no calls.
//   - Resting: whoever asked to be left alone ([Result.Rest]) is, up to 30 s,
//     while others can serve. So is, for 250 ms, one that could not be
//     connected to once.
//   - [Unreachable]: it could not be connected to twice in a row. It is left
//     out whatever the rest of the set looks like, unless all are unreachable.
//     One call is risked on it after 250 ms, then after twice as long, and so on
//     up to 10 s.
//   - [Ejected]: it failed [Ejection.Consecutive] times in a row. It is left out
//     for a time that grows with each ejection, then one call is risked on it.
//     Only a part of the set may be ejected ([Ejection.MaxPercent]).
//
// A call that is risked is leased: one caller at a time gets the endpoint, and
// if its outcome never comes the next one does 5 s later. An endpoint that has
// come back, and a new one, is first given 10 % of its share, which grows to all
// of it over [Policy.SlowStart].
//
// When less than [Ejection.PanicPercent] of the set are healthy, ejection is
// more likely wrong than right, and the rest could not carry the load: then
// ejected endpoints are used like the others ([Stats.Panic]).
//
// # Where a call will be done first
//
// [PeakEWMA], the default, multiplies what a call takes with the calls that are
// in flight. The latency of an endpoint follows a slow answer at once and
// forgets it with a time constant of 10 s, so that an endpoint that was slow is
// tried again. When calls wait and none has been answered for longer than that,
// the wait counts instead: a stall shows before anything has ended. The part of
// its calls that fail counts as 5 s each, and fades with a half-life of 2 s: an
// endpoint that fails fast never looks fast. One of which nothing is known is
// taken to be as fast as the one that it is compared with.
//
// With [P2C], which goes by the calls in flight alone, failures count as load.
//
// # Cost
//
// Pick and Done take no lock and allocate nothing; their cost does not depend on
// the number of endpoints. Nothing here starts a goroutine: what depends on time
// is worked out when somebody picks.
package balance
