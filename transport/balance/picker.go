package balance

import (
	"math/rand/v2"
	"sync/atomic"
)

// A Picker is a policy: it chooses one of some candidates. It is called by many
// goroutines at once.
type Picker interface {
	// Pick returns the index of the endpoint that gets the call. Negative
	// means that it found none that is usable; then, and when what it returns
	// is not usable, the balancer looks for a usable one itself, so a Picker
	// need not search far.
	Pick(c Candidates) int
}

func newPicker(name string, src rand.Source) Picker {
	switch name {
	case P2C:
		return p2c{}
	case RoundRobin:
		r := &roundRobin{}
		r.next.Store(src.Uint64()) // clients must not march together
		return r
	case Random:
		return single{}
	default:
		return nil
	}
}

// single draws one.
type single struct{}

func (single) Pick(c Candidates) int { return c.Draw(-1) }

// p2c takes the less loaded of two that are drawn at random. Source:
// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE
// TPDS 12(10), 2001.
type p2c struct{}

func (p2c) Pick(c Candidates) int {
	first := c.Draw(-1)
	if first < 0 {
		return -1
	}
	second := c.Draw(first)
	if second >= 0 && c.busier(first, second) {
		return second
	}
	return first
}

// busier reports whether first should leave the call to second. Draws follow
// the weights already. Between equal weights the fewer calls win. Between
// unequal ones the first drawn keeps the call until the other would be less
// busy for its weight even with it: otherwise the heavier would win whenever
// both are idle, and the lighter never get the share that it was given.
func (c *Candidates) busier(first, second int) bool {
	w1, w2 := c.Weight(first), c.Weight(second)
	if w1 == w2 {
		return c.Load(second) < c.Load(first)
	}
	return (c.Load(second)+1)/w2 < c.Load(first)/w1
}

// roundRobin takes one after the other. With unequal weights an endpoint is
// passed over in as many rounds as it has less weight than the heaviest.
// Source: gRFC A58, weighted round robin, whose arithmetic this is.
type roundRobin struct {
	next atomic.Uint64
}

func (r *roundRobin) Pick(c Candidates) int {
	n := uint64(c.Len())
	for range 2 * n {
		s := r.next.Add(1)
		i := int(s % n)
		if c.stride(i, s/n) && c.Usable(i) {
			return i
		}
	}
	return -1
}
