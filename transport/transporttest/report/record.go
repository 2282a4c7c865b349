package report

import "time"

// The classes of errors of a [Call] and an [Attempt]. A recorder takes others
// too, and counts them under their own name.
const (
	ErrTimeout   = "timeout"
	ErrRefused   = "refused"
	ErrReset     = "reset"
	ErrEOF       = "eof"
	ErrRejected  = "rejected" // by the client itself: breaker, limit, budget
	ErrCancelled = "cancelled"
	ErrOther     = "other"
)

// Call is one call as its caller saw it.
type Call struct {
	// Client called Service; Route is what it called there, such as
	// "GET /v1/carts/{id}".
	Client, Service, Route string
	// N tells the calls of one client apart.
	N int
	// Start is when the call was meant to begin, and End when the caller had
	// the answer or gave up.
	Start, End time.Duration
	// Status is that of the answer; 0 if there was none.
	Status int
	// Err is the class of the error, one of those above; "" for none.
	Err string
	// OK reports that the caller got what it wanted.
	OK bool
	// Attempts is how many requests went out for the call; 0 if it was
	// rejected.
	Attempts int
	// Deadline is when the answer was due. 0 is never.
	Deadline time.Duration
	// Degraded reports an answer that was made up for want of a better one,
	// such as a price from a cache.
	Degraded bool
}

// Attempt is one request of a call, as the client saw it.
type Attempt struct {
	// Client sent the request to Replica of Service.
	Client, Service, Replica string
	// N is that of the call.
	N int
	// Kind says why the attempt was made: "first", "retry" or "hedge".
	Kind       string
	Start, End time.Duration
	Status     int
	Err        string
	OK         bool
}

// Served is one request as the server saw it.
type Served struct {
	Service, Replica string
	Start, End       time.Duration
	Status           int
	// Late reports that the work ended after the caller's deadline, or after
	// the caller had gone: nobody had any use for it.
	Late bool
	// Work is the time that the request kept the server busy.
	Work time.Duration
}

// The kinds of events. A recorder takes others too.
const (
	Fault   = "fault"      // begins, until Heal with the same Subject and Detail
	Heal    = "heal"       // ends a Fault
	Breaker = "breaker"    // changed its state to Detail
	Eject   = "eject"      // an endpoint is left out
	Return  = "return"     // of an ejected endpoint
	Join    = "join"       // of an endpoint
	Leave   = "leave"      // of an endpoint
	Crash   = "crash"      // of a host, until Restart
	Restart = "restart"    // of a host
	Panic   = "panic-mode" // so few endpoints are left that all are used
)

// Event is something that happened once.
type Event struct {
	At   time.Duration
	Kind string
	// Subject is what it happened to, such as "pricing-2" or "cart>pricing".
	Subject string
	// Detail says more, such as "latency 200ms" or "open".
	Detail string
}
