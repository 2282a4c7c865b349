package balance

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// probeLease is how long the outcome of a risked call is awaited before
	// another one is risked.
	probeLease = 5 * time.Second
	// probeGap is the least time between two risked calls, whatever the number
	// of endpoints left out.
	probeGap = 10 * time.Millisecond
)

// risk returns an endpoint that is left out and whose time is up, for the call
// that is being picked, or nil. One caller gets it; the next one may when there
// is an outcome, or the lease is over. Further attempts of a call are not
// risked.
func (b *Balancer) risk(v *view, g *group, tried []*Endpoint) *Endpoint {
	if len(g.out) == 0 || len(tried) > 0 {
		return nil
	}
	due := b.due.Load()
	if due == 0 {
		return nil
	}
	now := b.now()
	gap := now + int64(probeGap)
	if now < due || !b.due.CompareAndSwap(due, gap) {
		return nil
	}
	found := takeLease(g.out, now)
	next := nextLease(v.out)
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

// takeLease leases the first of out whose time is up.
func takeLease(out []*Endpoint, now int64) *Endpoint {
	for _, e := range out {
		at := e.lease.Load()
		if at <= now && !e.resting(now) && e.lease.CompareAndSwap(at, now+int64(probeLease)) {
			return e
		}
	}
	return nil
}

// nextLease returns when the time of the next of out is up.
func nextLease(out []*Endpoint) int64 {
	next := int64(math.MaxInt64)
	for _, e := range out {
		next = min(next, max(e.lease.Load(), e.restUntil.Load()))
	}
	return next
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

// lower sets v to at most n, where 0 stands for never.
func lower(v *atomic.Int64, n int64) {
	for {
		old := v.Load()
		if old != 0 && old <= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}
