package balance

// newCycle returns an order of turns in which each index has as many as its
// part, which are positive and sum up to sum. At any time the turns that an
// index has had since the beginning differ from its share of them by less than
// 1.
//
// The k-th turn of one with the share p, counted from 0, is to come after k/p
// turns rounded down and before (k+1)/p rounded up. Giving each turn to the one
// whose time runs out first keeps all of these promises: Baruah, Cohen, Plaxton
// and Varvel, "Proportionate Progress: A Notion of Fairness in Resource
// Allocation", Algorithmica 15(6), 1996.
func newCycle(parts []int, sum int) []int32 {
	cycle := make([]int32, sum)
	waiting := make([][]int32, sum) // by the turn from which on they may come
	for i := range parts {
		waiting[0] = append(waiting[0], int32(i))
	}
	taken := make([]int, len(parts))
	var ready deadlines
	for t := range cycle {
		for _, i := range waiting[t] {
			end := ((taken[i]+1)*sum + parts[i] - 1) / parts[i]
			ready = ready.push(deadline{end, i})
		}
		i := ready[0].index
		ready = ready.pop()
		cycle[t] = i
		taken[i]++
		if begin := taken[i] * sum / parts[i]; begin < sum {
			waiting[begin] = append(waiting[begin], i)
		}
	}
	return cycle
}

// A deadline is the turn before which an index must have had one.
type deadline struct {
	turn  int
	index int32
}

func (d deadline) before(e deadline) bool {
	return d.turn < e.turn || d.turn == e.turn && d.index < e.index
}

// deadlines is a heap: the first is the earliest, and none is before its parent
// at (i-1)/2.
type deadlines []deadline

func (h deadlines) push(d deadline) deadlines {
	h = append(h, d)
	for i := len(h) - 1; i > 0 && h[i].before(h[(i-1)/2]); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
	return h
}

func (h deadlines) pop() deadlines {
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if child >= len(h) || !h[child].before(h[i]) {
			return h
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
