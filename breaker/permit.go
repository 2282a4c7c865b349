package breaker

import (
	"context"
	"sync/atomic"
	"time"
)

// admission is one call that was let through.
type admission struct {
	gen   uint64    // period of the state machine when the call began; 0: does not count
	start time.Time // zero if nothing depends on it
	slot  int64     // of the hangWatch
	probe bool
	spare bool // only ModeShadow let it through
}

// admit decides about one call and fills in a, without the lock if the circuit is
// simply closed or open.
func (b *Breaker) admit(a *admission) error {
	p := b.phase.Load()
	if p.gate != gatePass {
		return b.admitElse(p, a)
	}
	a.gen = p.gen
	return nil
}

func (b *Breaker) admitElse(p *phase, a *admission) error {
	switch p.gate {
	case gateTimed:
		a.gen, a.start = p.gen, time.Now()
		return nil
	case gateRefuse:
		if p.until.IsZero() {
			return b.reject(Open, 0)
		}
		if left := time.Until(p.until); left > 0 {
			return b.reject(Open, left)
		}
	}
	return b.admitLocked(a)
}

func (b *Breaker) admitLocked(a *admission) error {
	b.mu.Lock()
	now := time.Now()
	b.settle(now)
	err := b.decide(a, now)
	if err != nil && b.mode == ModeShadow {
		err, a.spare = nil, true // and it counts nothing
	}
	pending := len(b.queue) > 0
	b.mu.Unlock()
	if pending {
		b.deliver()
	}
	return err
}

// finish counts the outcome and reports whether it did: not if the call was
// never to count, or if its result is late.
func (b *Breaker) finish(a *admission, o Outcome) bool {
	if a.gen == 0 {
		return false
	}
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
	b      *Breaker
	ctx    context.Context // the caller's, for judge
	call   admission
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
	p := Permit{b: b, ctx: ctx}
	if err := b.admit(&p.call); err != nil {
		return Permit{}, err
	}
	p.ticket = b.cfg.tickets.Get().(*ticket)
	p.number = p.ticket.number.Load()
	return p, nil
}

// Shadowed reports whether the call would have been refused and was let through
// only because of [ModeShadow].
func (p Permit) Shadowed() bool { return p.call.spare }

// Done ends the call and counts its outcome as [Do] would. It reports whether
// this very Done was counted: false if the permit was done before, if the mode
// or the shadow does not count, and if the result is late, that is if the state
// has changed since Allow or the call was given up as hanging.
func (p Permit) Done(err error) bool {
	if p.ticket == nil || !p.ticket.number.CompareAndSwap(p.number, p.number+1) {
		return false
	}
	p.b.cfg.tickets.Put(p.ticket)
	return p.b.finish(&p.call, p.b.judge(p.ctx, &p.call, err))
}
