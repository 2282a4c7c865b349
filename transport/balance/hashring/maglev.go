package hashring

// maglev is the lookup table of Maglev: the owner of each slot.
type maglev []int32

// free is a slot without an owner.
const free = -1

// newMaglev lets the members take slots in turn, each the first that is free in
// its own order of all of them.
func newMaglev(shares []share, slots int) maglev {
	m := make(maglev, slots)
	for n := range m {
		m[n] = free
	}
	walks := make([]slotWalk, len(shares))
	for n, s := range shares {
		walks[n] = newSlotWalk(s.seed, slots)
	}
	turns := newTurns(shares)
	for range m {
		n := turns.next()
		m[walks[n].nextFree(m)] = shares[n].index
	}
	return m
}

func (m maglev) locate(point uint64) int32 { return m[below(point, uint64(len(m)))] }

// A slotWalk visits all slots of a table in steps of the same length. As their
// number is prime, it comes to each before it comes to one again.
type slotWalk struct {
	at, step int
}

func newSlotWalk(seed uint64, slots int) slotWalk {
	return slotWalk{
		at:   int(below(draw(seed, 0), uint64(slots))),
		step: 1 + int(below(draw(seed, 1), uint64(slots-1))),
	}
}

// nextFree returns the next slot of m that is free.
func (w *slotWalk) nextFree(m maglev) int {
	for m[w.at] != free {
		w.at += w.step
		if w.at >= len(m) {
			w.at -= len(m)
		}
	}
	return w.at
}
