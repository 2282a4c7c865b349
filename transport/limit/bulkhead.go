package limit

import (
	"math"
	"sync/atomic"
)

// A Bulkhead bounds how many calls are in flight. It has no queue: a caller
// that waits holds memory just like a call. Less critical calls may take only a
// part of the places, so that when the service is slow there is room left for
// those that matter. All methods are safe for concurrent use, lock nothing and
// allocate nothing.
type Bulkhead struct {
	inflight atomic.Int64
	places   [classes]atomic.Int64 // which a class may see taken, itself included
}

// NewBulkhead returns an empty Bulkhead for at most limit calls, with the
// default [Shares]. A limit that is not positive means 1024.
func NewBulkhead(limit int) *Bulkhead {
	b := &Bulkhead{}
	b.SetMax(limit)
	return b
}

// TryAcquire is [Bulkhead.TryAcquireFor] a [Critical] call, which is what a call
// is that nobody has marked.
func (b *Bulkhead) TryAcquire() bool { return b.TryAcquireFor(Critical) }

// TryAcquireFor takes a place if there is one for a call of criticality c, and
// reports whether there was: if fewer places are taken, by calls of any class,
// than c may fill. Whoever got one gives it back with Release, once.
func (b *Bulkhead) TryAcquireFor(c Criticality) bool {
	places := &b.places[c.class()]
	for {
		n := b.inflight.Load()
		if n >= places.Load() {
			return false
		}
		if b.inflight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Acquire takes a place though there may be none, for a call that is let through
// in any case: see [Policy.Shadow].
func (b *Bulkhead) Acquire() { b.inflight.Add(1) }

// Release gives a place back.
func (b *Bulkhead) Release() { b.inflight.Add(-1) }

// InFlight returns how many places are taken.
func (b *Bulkhead) InFlight() int { return int(b.inflight.Load()) }

// Max returns how many places there are.
func (b *Bulkhead) Max() int { return b.MaxFor(CriticalPlus) }

// MaxFor returns how many places calls of criticality c may fill.
func (b *Bulkhead) MaxFor(c Criticality) int { return int(b.places[c.class()].Load()) }

// SetMax changes the number of places and sets the default shares; a limit that
// is not positive means 1024. If more are taken than that, none is given out
// until enough have come back.
func (b *Bulkhead) SetMax(limit int) { b.Update(Policy{MaxInflight: max(limit, 0)}) }

// Update changes the number of places and how they are shared. p must be valid.
// Each class gets a place at least, and parts of places are rounded up.
func (b *Bulkhead) Update(p Policy) {
	p = p.WithDefaults()
	part := func(share float64) int64 {
		return int64(min(float64(p.MaxInflight), math.Ceil(share*float64(p.MaxInflight))))
	}
	b.places[CriticalPlus.class()].Store(int64(p.MaxInflight))
	b.places[Critical.class()].Store(part(p.Shares.Critical))
	b.places[SheddablePlus.class()].Store(part(p.Shares.SheddablePlus))
	b.places[Sheddable.class()].Store(part(p.Shares.Sheddable))
}
