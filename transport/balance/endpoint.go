package balance

import (
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// An Endpoint is one instance as a balancer knows it. It stays the same while
// the instance's ID and address do. All methods are safe for concurrent use.
type Endpoint struct {
	balancer *Balancer
	instance atomic.Pointer[discovery.Instance]
	drained  atomic.Bool // by weight, or gone from the list

	// Guarded by balancer.mu, as is every change of state.
	ejections int   // counts up with each, down with time in service
	returned  int64 // when it was last put back in service
	until     int64 // while left out: when it may be tried again
	tries     int   // while unreachable: how often that has failed

	before counts // when the interval began that is being counted

	generation uint64 // of the last list that it was in
	gone       int64  // when it left

	failed    atomic.Uint32 // calls
	cancelled atomic.Uint32 // calls
	took      atomic.Int64  // nanoseconds, by all calls; counted only if the policy compares them
	served    served
	last      lastReport

	slowSince atomic.Int64  // when its slow start began; 0 if it has none
	lease     atomic.Int64  // while left out: when the next call may be risked
	place     atomic.Uint32 // in the set that it was last picked from; see offerRecent

	_ [8]byte // so that the next is a cache line of its own, which a test checks
	hotLine
}

// hotLine is what a pick and its end touch, in one cache line.
type hotLine struct {
	inflight    tally
	latency     atomic.Uint64 // see observeLatency
	busySince   atomic.Int64  // when the last was answered, or the first began to wait
	failureRate atomic.Uint64 // see rate
	reported    atomic.Uint64 // see reportRIF
	restUntil   atomic.Int64  // passed over until then
	answered    atomic.Int32  // calls in flight whose answer has begun
	state       atomic.Int32  // a State, never Draining
	failures    atomic.Int32  // in a row
	refusals    atomic.Int32  // connect errors in a row
}

// Instance returns what discovery says. The value is shared: do not change its
// Tags and Meta.
func (e *Endpoint) Instance() discovery.Instance { return *e.instance.Load() }

// Current is [Endpoint.Instance] without the copy: nothing of what it points to
// may be changed. It does not change itself either; when discovery says
// something else Current returns another one.
func (e *Endpoint) Current() *discovery.Instance { return e.instance.Load() }

// ID returns the instance's ID.
func (e *Endpoint) ID() string { return e.instance.Load().ID }

// Addr returns the address to dial, host:port. It never changes: an instance
// that turns up at another address is another Endpoint.
func (e *Endpoint) Addr() string { return e.instance.Load().Addr }

// key is what the endpoint is found by from one list to the next.
func (e *Endpoint) key() string { return instanceKey(e.instance.Load()) }

// weight is at least 1.
func (e *Endpoint) weight() int { return max(1, e.instance.Load().Weight) }

// InFlight returns how many picks have not been followed by Done.
func (e *Endpoint) InFlight() int { return int(e.inflight.Load()) }

// State returns whether the endpoint gets calls.
func (e *Endpoint) State() State {
	if e.drained.Load() {
		return Draining
	}
	return State(e.state.Load())
}

// Done ends the attempt that began when Pick returned e. Call it exactly once
// for each Pick, however the attempt ended.
func (e *Endpoint) Done(r Result) {
	if r.Answered {
		e.answered.Add(-1)
	}
	left := e.inflight.end()
	b := e.balancer
	if v := b.view.Load(); v.byLatency {
		now := b.at(r.Now)
		if !r.Answered && left > e.answered.Load() {
			e.busySince.Store(now) // for those that go on waiting
		}
		e.learnLatency(now, r)
		if v.sumsTimes {
			e.addTime(now, r)
		}
	}
	if r.Outcome == Success && r.Rest <= 0 && e.spotless() {
		return
	}
	e.learn(r)
}

// spotless reports whether a success has nothing to put right.
func (e *Endpoint) spotless() bool {
	return e.failures.Load() == 0 && e.refusals.Load() == 0 && e.failureRate.Load() == 0 &&
		State(e.state.Load()) == Available
}

// learn takes in everything but the success of a healthy endpoint.
func (e *Endpoint) learn(r Result) {
	if r.Outcome == Cancelled {
		e.cancelled.Add(1)
		e.balancer.probeReturned(e)
		return
	}
	b := e.balancer
	now := b.at(r.Now)
	if r.Rest > 0 {
		e.rest(now, min(r.Rest, maxRest))
	}
	switch r.Outcome {
	case Success:
		e.failures.Store(0)
		e.refusals.Store(0)
		e.observeRate(now, false)
	case Overload:
		e.refusals.Store(0)
		e.observeRate(now, r.Rest <= 0)
	case ConnectError:
		e.observeRate(now, true)
		if count(&e.refusals) < refusalsToLeaveOut {
			e.rest(now, firstRefusalRest)
		}
	case Failure:
		e.refusals.Store(0)
		fallthrough
	default: // Timeout
		count(&e.failures)
		e.observeRate(now, true)
	}
	if r.Outcome.failed() {
		e.failed.Add(1)
		b.compare(now)
	}
	b.judge(e, now, r.Outcome)
}

// count adds one to v, but not without end, and returns what it is then.
func count(v *atomic.Int32) int32 {
	if n := v.Load(); n >= 1<<20 {
		return n
	}
	return v.Add(1)
}

// resting reports whether the endpoint is to be left alone now.
func (e *Endpoint) resting(now int64) bool { return e.restUntil.Load() > now }

// rest keeps callers away for d and up to a fifth more, so that not all come
// back at once.
func (e *Endpoint) rest(now int64, d time.Duration) {
	until := now + int64(e.balancer.jitter(d, 0.2))
	raise(&e.restUntil, until)
	raise(&e.balancer.timed, until)
}

// raise sets v to at least n.
func raise(v *atomic.Int64, n int64) {
	for {
		old := v.Load()
		if old >= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}
