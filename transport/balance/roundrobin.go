package balance

import "sync/atomic"

// roundRobin takes one after the other.
type roundRobin struct {
	turn  *atomic.Uint64
	order rotation
}

func newRoundRobin(s *set, k *kept) roundRobin {
	return roundRobin{turn: &k.turn, order: newRotation(s.weights)}
}

func (r roundRobin) Pick(c Candidates) int {
	n := c.Len()
	for range 2 * n {
		if i := r.order.at(r.turn.Add(1), n); i >= 0 && c.Usable(i) {
			return i
		}
	}
	return -1
}

// maxCycle bounds the length of a cycle, so that making one takes no more than
// about a millisecond.
const maxCycle = 1 << 14

// A rotation says whose turn it is. The zero rotation goes around.
type rotation struct {
	cycle   []int32
	strides []uint16
}

// newRotation returns the rotation for weights, which are whole numbers, or nil
// if all are equal. It is a cycle if that is short enough, else it goes by
// strides.
func newRotation(weights []float64) rotation {
	if weights == nil {
		return rotation{}
	}
	parts := make([]int, len(weights))
	common, sum := 0, 0
	for i, w := range weights {
		parts[i] = int(w)
		common = divisor(common, parts[i])
	}
	for i := range parts {
		parts[i] /= common
		if sum += parts[i]; sum > maxCycle {
			return rotation{strides: newStrides(weights)}
		}
	}
	return rotation{cycle: newCycle(parts, sum)}
}

// divisor returns the greatest that a and b have in common.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at returns the index of the one of n whose turn it is, or a negative number
// if it is nobody's.
func (r rotation) at(turn uint64, n int) int {
	switch {
	case r.cycle != nil:
		return int(r.cycle[turn%uint64(len(r.cycle))])
	case r.strides != nil:
		return stride(r.strides, turn)
	}
	return int(turn % uint64(n))
}
