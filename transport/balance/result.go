package balance

import "time"

// Outcome is how an attempt ended, as the balancer sees it.
type Outcome int8

// The outcomes.
const (
	// Success: the endpoint answered as it should; a 4xx is such an answer.
	Success Outcome = iota
	// Failure: it answered 5xx, or broke off.
	Failure
	// ConnectError: it could not be connected to, so nothing was sent.
	ConnectError
	// Timeout: it did not answer in time.
	Timeout
	// Overload: it refused for being busy: 429, 503 with Retry-After, or shed.
	// That is no sign of sickness and never ejects.
	Overload
	// Cancelled: the caller gave up. It says no more about the endpoint than
	// that an answer would have taken longer.
	Cancelled
)

// failed reports whether the endpoint did not do what it is there for.
func (o Outcome) failed() bool { return o == Failure || o == ConnectError || o == Timeout }

// A Result is what one attempt taught.
type Result struct {
	Outcome Outcome
	// Latency is how long the attempt took, up to its answer.
	Latency time.Duration
	// Answered says that Endpoint.Answered has told the latency already.
	Answered bool
	// Now is the present, as in [Call.Now].
	Now time.Time
	// Rest is how long the endpoint asked to be left alone, as by Retry-After;
	// zero if it did not. It is granted up to 30 s, while others can serve.
	Rest time.Duration
}

// Reason says why an endpoint was left out.
type Reason string

// The reasons.
const (
	// ConsecutiveFailures: it failed or timed out too often in a row.
	ConsecutiveFailures Reason = "consecutive_failures"
	// FailureRate: too many of its calls failed; see [Ejection.Interval].
	FailureRate Reason = "failure_rate"
	// HighLatency: its calls took too long; see [Ejection.LatencyFactor].
	HighLatency Reason = "high_latency"
	// ProbeFailed: its time was up, and the call that was risked on it failed.
	ProbeFailed Reason = "probe_failed"
	// CannotConnect: it could not be connected to.
	CannotConnect Reason = "cannot_connect"
)

// State is whether an endpoint gets calls.
type State int32

// The states.
const (
	// Available: it gets its share.
	Available State = iota
	// Ejected: it failed too often and is left out for a while.
	Ejected
	// Unreachable: it could not be connected to and is left out.
	Unreachable
	// Draining: it gets no new calls, for its weight is negative or it has left.
	Draining
)

// String returns the state in lower case, as in metrics.
func (s State) String() string {
	switch s {
	case Available:
		return "available"
	case Ejected:
		return "ejected"
	case Unreachable:
		return "unreachable"
	default:
		return "draining"
	}
}
