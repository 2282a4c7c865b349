package breaker

import (
	"context"
	"sync/atomic"
	"time"
)

// admission is one call that was let through.
type admission struct {
	b      *Breaker
	ctx    context.Context // the caller's, for judge
	start  time.Time       // zero if nothing depends on it
	gen    uint64
	slot   int64 // of the hangWatch
	counts bool
	probe  bool
}

// admit decides about one call.
func (b *Breaker) admit(ctx context.Context) (admission, error) {
	p := b.phase.Load()
	switch p.gate {
	case gatePass:
		a := admission{b: b, ctx: ctx, gen: p.gen, counts: p.counts}
		if b.cfg.SlowCall > 0 {
			a.start = time.Now()
		}
		return a, nil
	case gateRefuse:
		now := time.Now()
		if p.until.IsZero() || now.Before(p.until) {
			return admission{}, b.reject(Open, p.until, now)
		}
	}
	return b.admitSlow(ctx)
}

func (b *Breaker) admitSlow(ctx context.Context) (admission, error) {
	b.mu.Lock()
	now := time.Now()
	b.settle(now)
	a, refused := b.decide(ctx, now)
	if refused != nil && b.mode == ModeShadow {
		a, refused = admission{b: b, ctx: ctx}, nil
	}
	pending := len(b.queue) > 0
	b.mu.Unlock()
	if pending {
		b.deliver()
	}
	if refused != nil {
		return admission{}, refused
	}
	return a, nil
}

// finish counts the outcome and reports whether it did: not if the call was
// never to count, or if its result is late.
func (a *admission) finish(o Outcome) bool {
	if !a.counts {
		return false
	}
	b := a.b
	b.mu.Lock()
	if b.state != Closed || b.hang != nil {
		b.settle(time.Now())
	}
	counted := a.gen == b.gen && (b.hang == nil || a.probe || b.hang.leave(a.slot))
	if counted {
		b.probing = false
		b.count(o)
	}
	pending := len(b.queue) > 0
	b.mu.Unlock()
	if pending {
		b.deliver()
	}
	return counted
}

// A Permit is the right to make one call. It is a value; copies are the same
// permit. The zero Permit counts nothing.
type Permit struct {
	admission
	ticket *ticket
	number uint64
}

// ticket makes the copies of a permit count once. Tickets are used again: each
// use has its own number.
type ticket struct{ number atomic.Uint64 }

// Allow asks for one call that the caller ends with [Permit.Done]. If b refuses,
// the error is a [*RejectedError], which matches [ErrOpen]. ctx is the caller's:
// whether it is done when the call ends tells the caller's cancellation from
// the dependency's failure. A permit that is never done does no harm but for a
// half-open probe, which counts as failed when its lease ends.
func (b *Breaker) Allow(ctx context.Context) (Permit, error) {
	a, err := b.admit(ctx)
	if err != nil {
		return Permit{}, err
	}
	t := b.cfg.tickets.Get().(*ticket)
	return Permit{a, t, t.number.Load()}, nil
}

// Done ends the call and counts its outcome as [Do] would. It reports whether
// this very Done was counted: false if the permit was done before, if the mode
// or the shadow does not count, and if the result is late, that is if the state
// has changed since Allow or the call was given up as hanging.
func (p Permit) Done(err error) bool {
	if p.ticket == nil || !p.ticket.number.CompareAndSwap(p.number, p.number+1) {
		return false
	}
	p.b.cfg.tickets.Put(p.ticket)
	return p.finish(p.judge(err))
}
