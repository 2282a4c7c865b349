package balance

import "math"

// leastRequest looks at all endpoints and takes the one that has the fewest
// calls in flight for its weight. It starts from the one whose turn it is, which
// is the order among equals.
//
// With unequal weights the one whose turn it is keeps the call until another
// would be less busy for its weight even with it, as in busier: that makes the
// shares follow the weights when there is little to do, and the calls in flight
// follow them when there is much. Envoy's weight/(active+1) does the former by
// weighing turns with it, and then sends a slow endpoint calls for ever.
type leastRequest struct {
	turns roundRobin
}

func (l leastRequest) Pick(c Candidates) int {
	first := l.turns.Pick(c)
	if first < 0 {
		return -1
	}
	best, least := first, math.Inf(1)
	n := c.Len()
	for i, left := first+1, n-1; left > 0; i, left = i+1, left-1 {
		if i >= n {
			i = 0
		}
		if !c.busierNow(first, i) || !c.free(i) {
			continue
		}
		if cost := (c.Load(i) + 1) / c.weightNow(i); cost < least {
			best, least = i, cost
		}
	}
	return best
}

func (leastRequest) cost(c *Candidates, i int) float64 { return c.Load(i) / c.weightNow(i) }

// weightNow is Weight as far as the slow start lets it count.
func (c *Candidates) weightNow(i int) float64 {
	return c.Weight(i) * c.warmth(c.set.active[i])
}

// busierNow is busier by the weights as far as slow starts let them count.
func (c *Candidates) busierNow(first, second int) bool {
	w1, w2 := c.weightNow(first), c.weightNow(second)
	if w1 == w2 {
		return c.Load(second) < c.Load(first)
	}
	return (c.Load(second)+1)/w2 < c.Load(first)/w1
}
