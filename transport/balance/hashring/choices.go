package hashring

import (
	"iter"
	"slices"
)

// A key jumps to other places of the table for as long as it meets new members
// there: up to maxJumped of them, in up to maxJumps jumps.
const (
	maxJumped = 16
	maxJumps  = 64
)

// Choices yields the index of every member once: first the owner of the key with
// this hash, which is [Table.Lookup]'s, then those to turn to instead, in an
// order that is the key's own and stays the same. Allocates nothing.
//
// The first 16 are drawn by weight, so that what a member that is passed over
// would have got spreads over all others, and removing a member that is not
// among a key's first few choices does not change those (but for what Maglev
// moves without need). With Rendezvous that holds for all of them, and passing
// over a member is the same as removing it; each choice takes time in proportion
// to the number of members. With the other kinds members after the 16th, or
// after 64 draws if a few have nearly all of the weight, come in an order in
// which all are equal and which does change with the set.
func (t *Table) Choices(hash uint64) iter.Seq[int] {
	return func(yield func(int) bool) { t.walk(hash, yield) }
}

func (t *Table) walk(hash uint64, yield func(int) bool) {
	switch {
	case t.points != nil:
		t.jump(hash, yield)
	case t.ranked != nil:
		t.ranked.walk(hash, yield)
	}
}

// jump yields the owners of one place after the other, and then the rest.
func (t *Table) jump(hash uint64, yield func(int) bool) {
	var buf [maxJumped]int32
	met := buf[:0]
	for k := uint64(0); k < maxJumps && len(met) < min(maxJumped, t.Len()); k++ {
		i := t.points.locate(draw(hash, k))
		if slices.Contains(met, i) {
			continue
		}
		if !yield(int(i)) {
			return
		}
		met = append(met, i)
	}
	t.sweep(hash, met, yield)
}

// sweep yields everybody who is not among met, in steps of one length from one
// place, both the key's own.
func (t *Table) sweep(hash uint64, met []int32, yield func(int) bool) {
	n := uint64(t.Len())
	if uint64(len(met)) == n {
		return
	}
	at := below(draw(hash, maxJumps), n)
	step := coprime(1+below(draw(hash, maxJumps+1), n), n)
	for range n {
		if i := t.order[at]; !slices.Contains(met, i) && !yield(int(i)) {
			return
		}
		at = (at + step) % n
	}
}

// coprime returns the least number from x on that has no factor in common with n.
func coprime(x, n uint64) uint64 {
	for ; ; x++ {
		a, b := x, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return x
		}
	}
}
