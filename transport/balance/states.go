package balance

import "time"

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
	case b.overdue(e) && b.room() > 0:
		b.eject(e, now, ConsecutiveFailures)
		b.refresh()
	}
}

// overdue reports whether e has failed so often in a row that it should be
// left out.
func (b *Balancer) overdue(e *Endpoint) bool {
	p := &b.view.Load().policy.Ejection
	return e.refusals.Load() >= refusalsToLeaveOut ||
		!p.Disabled && int(e.failures.Load()) >= p.Consecutive
}

// room returns how many more endpoints may be ejected.
func (b *Balancer) room() int {
	s := b.view.Load().base.stats
	if b.policy.Ejection.Shadow {
		s = b.shadowed(s)
	}
	live := s.Available + s.Ejected + s.Unreachable
	allowed := live * b.policy.Ejection.MaxPercent / 100
	if live >= 3 {
		allowed = max(1, allowed)
	}
	return min(allowed-s.Ejected, s.Available-1)
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
		b.refresh()
	}
}

// eject leaves e out for a time that grows with each ejection. It takes effect
// when the view is refreshed.
func (b *Balancer) eject(e *Endpoint, now int64, r Reason) {
	p := &b.policy.Ejection
	if p.Shadow && b.shadowOut[e] > now {
		e.failures.Store(0)
		return
	}
	b.forgive(e, now)
	e.ejections = min(e.ejections+1, int(p.Max/p.Base)+1)
	d := min(time.Duration(e.ejections)*p.Base, p.Max)
	until := now + int64(b.jitter(d, 0.1))
	if p.Shadow {
		b.ejectShadow(e, until)
		return
	}
	b.leaveOut(e, Ejected, until, r)
}

// forgive forgets ejections of e for the time that it has been in service, which
// is about to end.
func (b *Balancer) forgive(e *Endpoint, now int64) {
	if State(e.state.Load()) == Available {
		e.ejections = max(0, e.ejections-int(max(0, now-e.returned)/int64(b.policy.Ejection.Base)))
	}
}

// cutOff leaves e out because it cannot be connected to, for a time that grows
// with each try.
func (b *Balancer) cutOff(e *Endpoint, now int64) {
	b.forgive(e, now)
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
	e.before = e.counts()
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

// refresh makes the view that follows from the states and the list.
func (b *Balancer) refresh() {
	was := b.view.Load().base.panicking
	v := b.newView()
	b.view.Store(v)
	for _, e := range v.out { // after the view: see risk
		lower(&b.due, e.lease.Load())
	}
	if on := v.base.panicking; on != was {
		b.tellPanic(on)
	}
}
