package transport

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// An Observer is told what happens to a client's calls: this is how metrics
// and traces are made without this package knowing any library for them. Its
// methods run on the path of every call and must be quick; they may be called
// by many goroutines at once. The structs they are given belong to the call
// and must not be kept.
type Observer interface {
	// StartCall begins a call. The context that it returns is that of the
	// call's attempts.
	StartCall(ctx context.Context, c *Call) context.Context
	// StartAttempt begins an attempt, ctx being that of the call. It may add
	// headers to a.Header. The context that it returns is that of the request
	// on the wire.
	StartAttempt(ctx context.Context, c *Call, a *Attempt) context.Context
	// EndAttempt ends the attempt that began with the same ctx as was
	// returned by StartAttempt: for the attempt that answers the call, when
	// the response body has ended.
	EndAttempt(ctx context.Context, c *Call, a *Attempt)
	// EndCall ends the call, after its last attempt. Every call that began
	// ends exactly once.
	EndCall(ctx context.Context, c *Call)
	// StartService tells that the client keeps state for a service from now
	// on. The function that it returns, if any, is called when it no longer
	// does.
	StartService(s ServiceState) (stop func())
}

// ServiceState gives an [Observer] what a client keeps for one service. All of
// it can be read at any time.
type ServiceState struct {
	Name     string
	Breaker  *breaker.Breaker
	Balancer *balance.Balancer
	Throttle *limit.Throttle
	Bulkhead *limit.Bulkhead
	Budget   *retry.Budget
	plan     *atomic.Pointer[plan] // for RouteLimits
}

// A Call is one call as an [Observer] sees it.
type Call struct {
	Service string
	// Route is the pattern of the policy's route that the call goes by; empty
	// if it goes by the service's own.
	Route  string
	Method string
	// Resolved reports whether the service has ever been found. Names that
	// have not come from who knows where and must not become metric labels.
	Resolved bool
	Request  *http.Request
	Start    time.Time
	// Explain is for StartCall to set: the attempts then say why they go where
	// they go, which costs a microsecond or more.
	Explain bool

	// What follows is known at the end.

	Duration time.Duration
	// Status is that of the response; zero if there was none.
	Status int
	// Criticality is what the call's places were taken for.
	Criticality limit.Criticality
	// Err is why there is no response, or why its body ended early.
	Err      error
	Outcome  Outcome
	Attempts int
	// Shadowed are the limits that would have refused the call and did not,
	// because their settings only shadow: see [ShadowLimit]. Each is there once.
	Shadowed []ShadowLimit
	// BudgetExhausted reports that a retry was due but not paid for. Hedges that
	// were not made do not count.
	BudgetExhausted bool
}

// An Attempt is one try of a call as an [Observer] sees it.
type Attempt struct {
	// N counts from 1.
	N    int
	Kind AttemptKind
	// Instance is where it goes. It is shared and must not be changed.
	Instance *discovery.Instance
	// Pick says why it goes there; nil unless Call.Explain was set.
	Pick *balance.Explanation
	// Header is that of the request about to be sent.
	Header http.Header
	Start  time.Time

	// What follows is known at the end.

	Duration time.Duration
	Status   int
	Err      error
	Outcome  Outcome
}

// An AttemptKind says why an attempt was made.
type AttemptKind int8

// The kinds of attempts.
const (
	First AttemptKind = iota
	// Retry: the one before has failed.
	Retry
	// Hedge: the one before is late and still under way.
	Hedge
)

// String returns "first", "retry" or "hedge".
func (k AttemptKind) String() string {
	switch k {
	case Retry:
		return "retry"
	case Hedge:
		return "hedge"
	default:
		return "first"
	}
}

// An Outcome sums up a call or an attempt.
type Outcome int8

// The outcomes.
const (
	// Success: a response that is no server error.
	Success Outcome = iota
	// Failure: no response, or a server error.
	Failure
	// Rejected: refused by the breaker, the bulkhead or for want of
	// instances, before anything was sent; or refused by the server before
	// any work.
	Rejected
	// Cancelled: the caller gave up, or its deadline has passed.
	Cancelled
	// Timeout: our own time limit passed; of an attempt, the caller's too.
	Timeout
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Rejected:
		return "rejected"
	case Cancelled:
		return "cancelled"
	default:
		return "timeout"
	}
}

// observers tells several observers, the first one outermost.
type observers []Observer

func (os observers) StartCall(ctx context.Context, c *Call) context.Context {
	for _, o := range os {
		ctx = o.StartCall(ctx, c)
	}
	return ctx
}

func (os observers) StartAttempt(ctx context.Context, c *Call, a *Attempt) context.Context {
	for _, o := range os {
		ctx = o.StartAttempt(ctx, c, a)
	}
	return ctx
}

func (os observers) EndAttempt(ctx context.Context, c *Call, a *Attempt) {
	for i := range os {
		os[len(os)-1-i].EndAttempt(ctx, c, a)
	}
}

func (os observers) EndCall(ctx context.Context, c *Call) {
	for i := range os {
		os[len(os)-1-i].EndCall(ctx, c)
	}
}

func (os observers) StartService(s ServiceState) func() {
	var stops []func()
	for _, o := range os {
		if stop := o.StartService(s); stop != nil {
			stops = append(stops, stop)
		}
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}
