package hashring

// turns says whose turn it is to take a slot of a Maglev table. Everybody has
// one turn; after that a member of weight w that has taken k has its next at
// (k+1/2)/w, so that what each has taken is its part of all rounded to the
// nearest (Webster's method of apportionment).
//
// It is a heap: the next turn is the first, and none is before its parent at
// (i-1)/2. Where all weigh the same it goes around.
type turns []turn

type turn struct {
	due    float64
	weight float64
	taken  int32
	member int32
}

func newTurns(shares []share) turns {
	h := make(turns, len(shares))
	for n, s := range shares {
		h[n] = turn{weight: s.weight, member: int32(n)}
	}
	return h
}

// next returns who is to take a slot and counts it as taken.
func (h turns) next() int {
	t := &h[0]
	member := t.member
	t.taken++
	t.due = (float64(t.taken) + 0.5) / t.weight
	h.sink()
	return int(member)
}

// sink moves the first turn to where it belongs.
func (h turns) sink() {
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if child >= len(h) || !h[child].before(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

func (t turn) before(u turn) bool {
	return t.due < u.due || t.due == u.due && t.member < u.member
}
