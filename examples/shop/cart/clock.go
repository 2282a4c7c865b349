package cart

import (
	"cmp"
	"sync"
	"time"
)

// Stamp is a moment of the hybrid logical clock that all replicas share: later
// than everything its maker had seen, and close to the time of day.
//
// Source: Kulkarni, Demirbas et al., "Logical Physical Clocks", OPODIS 2014,
// doi:10.1007/978-3-319-14472-6_2. Here the logical part is not kept apart but
// runs on in the lowest digits, as no replica makes a million changes a second.
type Stamp struct {
	Micros  int64  // Unix time
	Replica string // the store of the maker: no two stamps are the same
}

// Compare returns -1, 0 or +1 as s is before, the same as, or after o.
func (s Stamp) Compare(o Stamp) int {
	return cmp.Or(cmp.Compare(s.Micros, o.Micros), cmp.Compare(s.Replica, o.Replica))
}

// Clock makes the stamps of one replica. It may be used by many goroutines at
// once.
type Clock struct {
	replica string
	now     func() time.Time

	mu   sync.Mutex
	last int64 // microseconds
}

// NewClock returns a clock that goes on from last, so that it never goes back,
// even when the time of day has. now is usually [time.Now].
func NewClock(replica string, last Stamp, now func() time.Time) *Clock {
	return &Clock{replica: replica, now: now, last: last.Micros}
}

// Next returns a stamp that is later than all that the clock has made and seen.
func (c *Clock) Next() Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.now().UnixMicro(), c.last+1)
	return Stamp{c.last, c.replica}
}

// See takes in a stamp that another replica has made.
func (c *Clock) See(s Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, s.Micros)
}
