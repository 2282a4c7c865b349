package retry

import (
	"math"
	"sync/atomic"
	"time"
)

// A Hedger knows when a call is late, and bounds the hedges. It measures the
// calls of one service or route.
//
// A call is late once it takes longer than Quantile of the recent ones. With a
// Quantile of 0.95 one in twenty is, and a Share of 0.02 does not do for all of
// them: whoever came first would use it up, and of the calls that are really
// stuck most would go without. So there are two moments. At the first, the
// Quantile, a call is hedged from what is to spare; at the second from all there
// is. At that moment somewhat fewer calls are left than there is Share for, so
// that what is saved up lasts when they come in bunches.
//
// All methods are safe for concurrent use, lock nothing and, but for Update,
// allocate nothing.
type Hedger struct {
	settings atomic.Pointer[Hedge]
	made     time.Time
	times    sketch
	first    atomic.Int64 // nanoseconds; 0 while nothing is hedged
	second   atomic.Int64
	records  atomic.Uint32
	credit   atomic.Int64 // millionths of a hedge
}

// Delays are after how long a call is late.
type Delays struct {
	// First is the measured Quantile, and at least MinDelay.
	First time.Duration
	// Second is a little above the measured quantile 1-Share, and not before
	// First.
	Second time.Duration
}

const (
	hedgeUnit = 1_000_000
	// hedgeBurst bounds how many hedges can be saved up.
	hedgeBurst = 10 * hedgeUnit
	// hedgeSpare is what must be there for a hedge at the first moment.
	hedgeSpare = hedgeBurst / 2
	// hedgeLoad is the part of Share that the second moment is to use.
	hedgeLoad = 0.75
	// hedgeEvery is after how many records the delays are computed again.
	hedgeEvery = 32
)

// NewHedger returns a Hedger that has measured nothing. The error joins
// everything that is wrong with h.
func NewHedger(h Hedge) (*Hedger, error) {
	g := &Hedger{made: time.Now()}
	return g, g.Update(h)
}

// Update changes the settings; what was measured stays. After an error nothing
// has changed.
func (g *Hedger) Update(h Hedge) error {
	if err := h.Validate(); err != nil {
		return err
	}
	h = h.WithDefaults()
	g.settings.Store(&h)
	g.compute()
	return nil
}

// Hedge returns the settings, defaults filled in.
func (g *Hedger) Hedge() Hedge { return *g.settings.Load() }

// Began counts a call, which adds Share to what hedges may use.
func (g *Hedger) Began() {
	if g.credit.Load() >= hedgeBurst {
		return
	}
	g.credit.Add(int64(g.settings.Load().Share * hedgeUnit))
}

// Record takes in how long the first attempt of a call took that succeeded, up
// to the response's header, or had taken when a hedge overtook it. To leave out
// those overtaken would make the rest look faster than calls are, more of them
// late, and so on.
func (g *Hedger) Record(took time.Duration) {
	least := uint64(g.settings.Load().Samples)
	g.times.add(time.Since(g.made), took, least)
	if n := g.records.Add(1); n%hedgeEvery == 0 || g.first.Load() == 0 && g.times.count() >= least {
		g.compute()
	}
}

// Delays returns after how long a call is late. ok is false while hedging is
// off, or too little is known.
func (g *Hedger) Delays() (d Delays, ok bool) {
	first := time.Duration(g.first.Load())
	return Delays{First: first, Second: max(first, time.Duration(g.second.Load()))}, first > 0
}

// compute works out the delays.
func (g *Hedger) compute() {
	h := g.settings.Load()
	if !h.On || g.times.count() < uint64(h.Samples) {
		g.first.Store(0)
		return
	}
	g.second.Store(int64(g.times.quantile(1 - hedgeLoad*h.Share)))
	g.first.Store(int64(max(g.times.quantile(h.Quantile), h.MinDelay)))
}

// Take uses up one hedge at the first moment or, with second, at the second. It
// reports whether there was one to use.
func (g *Hedger) Take(second bool) bool {
	least := int64(hedgeSpare)
	if second {
		least = hedgeUnit
	}
	for {
		c := g.credit.Load()
		if c < least {
			return false
		}
		if g.credit.CompareAndSwap(c, c-hedgeUnit) {
			return true
		}
	}
}

// sketch counts durations in buckets that grow by a sixteenth of an octave,
// less than 5 %, over a span that moves: the last sketchSpan and the one before.
// If there are few calls it reaches back further.
type sketch struct {
	spans   [2]sketchSpan
	current atomic.Uint32 // index of the span that is being filled
	turning atomic.Bool
}

type sketchSpan struct {
	began   atomic.Int64 // nanoseconds since the hedger was made, from 1; 0 before the first
	n       atomic.Uint64
	buckets [sketchBuckets]atomic.Uint32
}

const (
	// sketchFor is how long a span lasts at least.
	sketchFor = 10 * time.Second
	// sketchSub divides each octave.
	sketchSub = 16
	// sketchLeast and sketchMost are the exponents of the first and last
	// octave: from 1 us to more than two minutes.
	sketchLeast, sketchMost = 10, 37
	sketchBuckets           = (sketchMost - sketchLeast) * sketchSub
)

// add counts d, at now since the hedger was made. A span ends when it is old
// enough and has least in it.
func (s *sketch) add(now, d time.Duration, least uint64) {
	i := s.current.Load()
	span := &s.spans[i]
	ns := max(int64(now), 1)
	if began := span.began.Load(); began == 0 {
		span.began.CompareAndSwap(0, ns)
	} else if ns-began >= int64(sketchFor) && span.n.Load() >= least && s.turning.CompareAndSwap(false, true) {
		if s.current.Load() == i {
			next := &s.spans[1-i]
			next.clear(ns)
			s.current.Store(1 - i)
			span = next
		}
		s.turning.Store(false)
	}
	span.buckets[bucketOf(d)].Add(1)
	span.n.Add(1)
}

func (s *sketchSpan) clear(ns int64) {
	s.n.Store(0)
	for i := range s.buckets {
		s.buckets[i].Store(0)
	}
	s.began.Store(ns)
}

// count returns how many durations are known.
func (s *sketch) count() uint64 { return s.spans[0].n.Load() + s.spans[1].n.Load() }

// quantile returns the upper end of the bucket that q of the durations do not
// go beyond.
func (s *sketch) quantile(q float64) time.Duration {
	total := uint64(0)
	var sums [sketchBuckets]uint64
	for i := range sums {
		sums[i] = uint64(s.spans[0].buckets[i].Load()) + uint64(s.spans[1].buckets[i].Load())
		total += sums[i]
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i, n := range sums {
		if n >= rank {
			return bucketEnd(i)
		}
		rank -= n
	}
	return bucketEnd(sketchBuckets - 1)
}

func bucketOf(d time.Duration) int {
	i := int(math.Ceil((math.Log2(float64(max(d, 1))) - sketchLeast) * sketchSub))
	return min(max(i-1, 0), sketchBuckets-1)
}

func bucketEnd(i int) time.Duration {
	return time.Duration(math.Exp2(sketchLeast + float64(i+1)/sketchSub))
}
