package limit

import (
	"fmt"
	"sync/atomic"

	"github.com/gabion-go/gabion/internal/strictjson"
)

// DefaultMaxInflight is the default of [Policy.MaxInflight].
const DefaultMaxInflight = 1024

// Policy bounds the calls of one client to one service. In JSON an unknown name
// is an error.
type Policy struct {
	// MaxInflight is the most calls in flight at once, streams included until
	// they end. Default 1024.
	MaxInflight int `json:"max_inflight,omitzero"`
}

// Max returns MaxInflight or its default.
func (p Policy) Max() int {
	if p.MaxInflight == 0 {
		return DefaultMaxInflight
	}
	return p.MaxInflight
}

// Validate reports what is wrong with p. The zero Policy is valid.
func (p Policy) Validate() error {
	if p.MaxInflight < 0 {
		return fmt.Errorf("limit: max_inflight %d: must not be negative", p.MaxInflight)
	}
	return nil
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was.
func (p *Policy) UnmarshalJSON(b []byte) error {
	type plain Policy
	j := plain(*p)
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("limit: policy: %w", err)
	}
	*p = Policy(j)
	return nil
}

// A Bulkhead bounds how many calls are in flight. It has no queue: a caller
// that waits holds memory just like a call. All methods are safe for concurrent
// use, lock nothing and allocate nothing.
type Bulkhead struct {
	inflight, max atomic.Int64
}

// NewBulkhead returns an empty Bulkhead for at most limit calls. A limit that
// is not positive means 1024.
func NewBulkhead(limit int) *Bulkhead {
	b := &Bulkhead{}
	b.SetMax(limit)
	return b
}

// TryAcquire takes a place if there is one, and reports whether there was.
// Whoever got one gives it back with Release, once.
func (b *Bulkhead) TryAcquire() bool {
	for {
		n := b.inflight.Load()
		if n >= b.max.Load() {
			return false
		}
		if b.inflight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a place back.
func (b *Bulkhead) Release() { b.inflight.Add(-1) }

// InFlight returns how many places are taken.
func (b *Bulkhead) InFlight() int { return int(b.inflight.Load()) }

// Max returns how many places there are.
func (b *Bulkhead) Max() int { return int(b.max.Load()) }

// SetMax changes the number of places; a limit that is not positive means 1024.
// If more are taken than that, none is given out until enough have come back.
func (b *Bulkhead) SetMax(limit int) {
	if limit <= 0 {
		limit = DefaultMaxInflight
	}
	b.max.Store(int64(limit))
}
