package hashring

import "math"

// DefaultFactor is the default of [Bound.Factor].
const DefaultFactor = 1.25

// A Bound limits how much of a load, such as calls in flight, a member may have.
type Bound struct {
	// Factor is how many times its part of the load a member may have: 1.2 to 2
	// is of use. Less keeps the load more even, more keeps more keys with their
	// owners. Zero means 1.25, and below 1 is 1.
	Factor float64
	// Total is the load of all members that may be used together.
	Total int
	// Weight is the weight of all members that may be used together. Zero means
	// that of all members.
	Weight float64
}

// Capacity returns the load that member i may have at most, counting what is
// about to be added: its part by weight of b.Total and one more, times b.Factor,
// rounded up. The capacities of the members that may be used are more than
// b.Total together, so one of them is below its own.
func (t *Table) Capacity(i int, b Bound) int {
	factor, weight := b.Factor, b.Weight
	if factor == 0 {
		factor = DefaultFactor
	}
	if weight == 0 {
		weight = t.total
	}
	return int(math.Ceil(max(1, factor) * float64(b.Total+1) * t.weights[i] / weight))
}

// Bounded returns the index of the first of the key's [Table.Choices] whose load
// is below its capacity. load returns the load of a member, or a negative number
// if the member may not be used. If b.Total is less than the members' load, as
// may be while that changes, and everybody is at capacity, it is the first that
// may be used; it is -1 if none may. Allocates nothing if load does not.
func (t *Table) Bounded(hash uint64, b Bound, load func(i int) int) int {
	first := -1
	for i := range t.Choices(hash) {
		n := load(i)
		if n < 0 {
			continue
		}
		if n < t.Capacity(i, b) {
			return i
		}
		if first < 0 {
			first = i
		}
	}
	return first
}
