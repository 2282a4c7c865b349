package limit

import (
	"sync/atomic"
	"time"
)

// tallyCount is how many parts a window has: it moves on by one at a time.
const tallyCount = 30

// tallies counts calls in a rolling window. It is safe for concurrent use and
// locks nothing: each part of the window is one word, so that the calls of a
// part and the time it stands for change together.
type tallies struct {
	width time.Duration // of one part
	parts [tallyCount]atomic.Uint64
	// refused is the number of the latest part with a call that was not
	// accepted, plus one.
	refused atomic.Uint64
}

// A tally is a part's calls: from the top, 20 bits of the number of the part
// since the beginning, 22 of requests, 22 of accepts. When the requests no
// longer fit nothing more is counted: their ratio is known well enough by then.
type tally uint64

const (
	countBits = 22
	countMask = 1<<countBits - 1
	partMask  = 1<<(64-2*countBits) - 1
)

func (t tally) part() uint64     { return uint64(t) >> (2 * countBits) }
func (t tally) requests() uint64 { return uint64(t) >> countBits & countMask }
func (t tally) accepts() uint64  { return uint64(t) & countMask }

// counts are the calls of some parts.
type counts struct{ requests, accepts uint64 }

func (c *counts) add(t tally) {
	c.requests += t.requests()
	c.accepts += t.accepts()
}

// add counts a call at now, which is the time since the beginning.
func (w *tallies) add(now time.Duration, accepted bool) {
	n := uint64(now / w.width)
	if !accepted && w.refused.Load() <= n {
		w.refused.Store(n + 1)
	}
	part := &w.parts[n%tallyCount]
	for {
		old := part.Load()
		t := tally(old)
		if t.part() != n&partMask {
			t = tally(n & partMask << (2 * countBits))
		}
		if t.requests() == countMask {
			return
		}
		t += 1 << countBits
		if accepted {
			t++
		}
		if part.CompareAndSwap(old, uint64(t)) {
			return
		}
	}
}

// clean reports whether all calls of the window that ends at now were accepted,
// which is what a throttle sees nearly always, without adding them up.
func (w *tallies) clean(now time.Duration) bool {
	last := w.refused.Load()
	return last == 0 || uint64(now/w.width) >= last-1+tallyCount
}

// sum returns the calls of the window that ends at now, and those of its last
// two parts, of which the latter has only begun.
func (w *tallies) sum(now time.Duration) (all, recent counts) {
	n := uint64(now / w.width)
	for i := range w.parts {
		t := tally(w.parts[i].Load())
		age := (n - t.part()) & partMask
		if age < tallyCount {
			all.add(t)
		}
		if age < 2 {
			recent.add(t)
		}
	}
	return all, recent
}
