package balance

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxRest bounds how long an endpoint is left alone because it asked.
	maxRest = 30 * time.Second
	// refusalsToLeaveOut connect errors in a row make an endpoint unreachable;
	// before that it is only passed over for firstRefusalRest, because a single
	// one may be a connection that was closed at the wrong moment.
	refusalsToLeaveOut = 2
	firstRefusalRest   = 250 * time.Millisecond
	// An unreachable endpoint is tried again after probeBase, doubled for each
	// try that failed up to probeCap, plus up to a fifth.
	probeBase = 250 * time.Millisecond
	probeCap  = 10 * time.Second
	// probeLease is how long the outcome of a risked call is awaited before
	// another one is risked.
	probeLease = 5 * time.Second
	// probeGap is the least time between two risked calls, whatever the number
	// of endpoints left out.
	probeGap = 10 * time.Millisecond
	// slowStartFloor is the share that a slow start begins with.
	slowStartFloor = 0.1
)

// judge changes the state of e after an outcome, if it is time for that.
func (b *Balancer) judge(e *Endpoint, now int64, o Outcome) {
	if State(e.state.Load()) == Available && !b.overdue(e) {
		return
	}
	defer b.deliver()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case e.drained.Load():
	case State(e.state.Load()) != Available:
		b.probed(e, now, o)
	case e.refusals.Load() >= refusalsToLeaveOut:
		b.cutOff(e, now)
	case b.overdue(e) && b.mayEject():
		b.eject(e, now, ConsecutiveFailures)
	}
}

// overdue reports whether e has failed so often in a row that it should be
// left out.
func (b *Balancer) overdue(e *Endpoint) bool {
	p := &b.view.Load().policy.Ejection
	return e.refusals.Load() >= refusalsToLeaveOut ||
		!p.Disabled && int(e.failures.Load()) >= p.Consecutive
}

// mayEject reports whether one more endpoint may be ejected.
func (b *Balancer) mayEject() bool {
	s := b.view.Load().base.stats
	live := s.Available + s.Ejected + s.Unreachable
	allowed := live * b.policy.Ejection.MaxPercent / 100
	if live >= 3 {
		allowed = max(1, allowed)
	}
	return s.Ejected < allowed && s.Available > 1
}

// probed takes in an outcome of an endpoint that is left out. Outcomes before
// its time is up are of calls that began earlier, and say nothing new.
func (b *Balancer) probed(e *Endpoint, now int64, o Outcome) {
	unreachable := State(e.state.Load()) == Unreachable
	switch {
	case now < e.until:
	case o == ConnectError:
		b.cutOff(e, now)
	case o == Success || o == Overload || unreachable && o == Failure:
		failures := e.failures.Load()
		b.bringBack(e, now)
		if o == Failure { // it can be connected to; whether it works is another question
			e.failures.Store(failures)
		}
		b.refresh()
		b.hurryOthers(now)
	case unreachable:
		b.cutOff(e, now)
	default:
		b.eject(e, now, ProbeFailed)
	}
}

// eject leaves e out for a time that grows with each ejection.
func (b *Balancer) eject(e *Endpoint, now int64, r Reason) {
	p := &b.policy.Ejection
	if State(e.state.Load()) == Available {
		e.ejections = max(0, e.ejections-int((now-e.returned)/int64(p.Base)))
	}
	e.ejections = min(e.ejections+1, int(p.Max/p.Base)+1)
	d := min(time.Duration(e.ejections)*p.Base, p.Max)
	b.leaveOut(e, Ejected, now+int64(b.jitter(d, 0.1)), r)
	b.refresh()
}

// cutOff leaves e out because it cannot be connected to, for a time that grows
// with each try.
func (b *Balancer) cutOff(e *Endpoint, now int64) {
	if State(e.state.Load()) == Unreachable {
		e.tries++
	} else {
		e.tries = 0
	}
	d := probeCap
	if e.tries < 10 { // so that shifting does not overflow
		d = min(probeBase<<e.tries, probeCap)
	}
	b.leaveOut(e, Unreachable, now+int64(b.jitter(d, 0.2)), CannotConnect)
	b.refresh()
}

func (b *Balancer) leaveOut(e *Endpoint, s State, until int64, r Reason) {
	e.until = until
	e.lease.Store(until)
	e.state.Store(int32(s))
	b.tellEjected(e, r)
}

// bringBack puts e in service again, slowly.
func (b *Balancer) bringBack(e *Endpoint, now int64) {
	e.state.Store(int32(Available))
	e.failures.Store(0)
	e.refusals.Store(0)
	e.latency.Store(0) // of what was wrong; the slow start is the caution
	e.returned = now
	b.startSlowly(e, now)
	b.tell(b.observer.Returned, e)
}

func (b *Balancer) startSlowly(e *Endpoint, now int64) {
	if b.policy.SlowStart > 0 {
		e.slowSince.Store(now)
		raise(&b.timed, now+int64(b.policy.SlowStart))
	}
}

// hurryOthers lets calls be risked at once on what is left out, if most of the
// set is: one endpoint that came back shows that others may have, and cannot
// carry the load of all.
func (b *Balancer) hurryOthers(now int64) {
	v := b.view.Load()
	if !v.base.panicking {
		return
	}
	for _, e := range v.base.out {
		if e.until > now && e.lease.CompareAndSwap(e.until, now) {
			e.until = now
			lower(&b.due, now)
		}
	}
}

// refresh makes the view that follows from the states and the list.
func (b *Balancer) refresh() {
	was := b.view.Load().base.panicking
	v := b.newView()
	b.view.Store(v)
	for _, e := range v.base.out { // after the view: see risk
		lower(&b.due, e.lease.Load())
	}
	if on := v.base.panicking; on != was {
		b.tellPanic(on)
	}
}

// lower sets v to at most n, where 0 stands for never.
func lower(v *atomic.Int64, n int64) {
	for {
		old := v.Load()
		if old != 0 && old <= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}

// risk returns an endpoint that is left out and whose time is up, for the call
// that is being picked, or nil. One caller gets it; the next one may when there
// is an outcome, or the lease is over. Further attempts of a call are not
// risked.
func (b *Balancer) risk(v *view, g *group, tried []*Endpoint) *Endpoint {
	due := b.due.Load()
	if due == 0 || len(tried) > 0 {
		return nil
	}
	now := b.now()
	gap := now + int64(probeGap)
	if now < due || !b.due.CompareAndSwap(due, gap) {
		return nil
	}
	found, next := takeLease(v.base.out, g, now)
	if next == math.MaxInt64 {
		next = 0
	} else {
		next = max(next, gap)
	}
	b.due.CompareAndSwap(gap, next) // if not, somebody has asked for an earlier look
	if b.view.Load() != v {
		lower(&b.due, gap) // what was left out meanwhile may have been overwritten
	}
	return found
}

// takeLease leases the first of out whose time is up, if g has it, and returns when the next
// one's is.
func takeLease(out []*Endpoint, g *group, now int64) (found *Endpoint, next int64) {
	next = math.MaxInt64
	for _, e := range out {
		at := e.lease.Load()
		if found == nil && at <= now && !e.resting(now) && g.left(e) && e.lease.CompareAndSwap(at, now+int64(probeLease)) {
			found, at = e, now+int64(probeLease)
		}
		next = min(next, max(at, e.restUntil.Load()))
	}
	return found, next
}

// probeReturned gives back the lease of a call that ended without saying
// anything, after a pause: callers that give up at once must not be sent there
// one after another.
func (b *Balancer) probeReturned(e *Endpoint) {
	if State(e.state.Load()) == Available {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); now >= e.until && !e.drained.Load() {
		e.lease.Store(now + int64(probeBase))
		lower(&b.due, now+int64(probeBase))
	}
}

// left reports whether e is of the group, and left out.
func (g *group) left(e *Endpoint) bool {
	return g.name == "" || slices.Contains(g.out, e)
}
