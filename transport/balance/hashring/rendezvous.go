package hashring

import "math"

// ranking is the set of members that each key ranks anew, by a cost that is
// distributed exponentially with a rate of the member's weight. The least of
// such costs is each member's with a probability in proportion to its weight.
//
// The last bit of a logarithm may differ between kinds of processors, which
// matters to less than one key in 10^12.
type ranking []share

// first returns the index of the member that ranks first for hash.
func (r ranking) first(hash uint64) int {
	n, _ := r.next(hash, -1, math.Inf(-1))
	return int(r[n].index)
}

// walk yields the indices of all members from the first to the last in rank.
func (r ranking) walk(hash uint64, yield func(int) bool) {
	n, cost := -1, math.Inf(-1)
	for range r {
		n, cost = r.next(hash, n, cost)
		if !yield(int(r[n].index)) {
			return
		}
	}
}

// next returns the place in r and the cost of the member that ranks next after
// the one at last, whose cost is given: that with the least cost from there on,
// and of equals the one whose key is less.
func (r ranking) next(hash uint64, last int, lastCost float64) (next int, least float64) {
	least = math.Inf(1)
	for n := range r {
		s := &r[n]
		u := s.draw(hash)
		if 1-u >= least*s.weight { // nor is -ln u less: most need no logarithm
			continue
		}
		cost := -math.Log(u) / s.weight
		after := cost > lastCost || cost == lastCost && n > last
		if after && cost < least {
			next, least = n, cost
		}
	}
	return next, least
}

// draw returns a number between 0 and 1 that is the key's and the member's own.
func (s *share) draw(hash uint64) float64 {
	return (float64(mix(hash^s.seed)>>12) + 0.5) * 0x1p-52
}
