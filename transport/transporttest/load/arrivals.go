package load

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// Arrivals yields when the calls of an open loop begin, as offsets from the
// start of the run: strictly increasing, none before Start and none at or after
// the end of the stream or of the run. What would be at the same time is a
// nanosecond apart. A Closed loop yields nothing.
//
// The times follow from l and seed. Streams that differ in what they call, or
// in who does, are independent of each other with the same seed. A Load that
// [Load.Validate] refuses, or whose File has not been read, yields anything.
func (l Load) Arrivals(seed uint64, end time.Duration) iter.Seq[time.Duration] {
	l = l.WithDefaults()
	return func(yield func(time.Duration) bool) {
		length := l.Until(end) - l.Start
		last := time.Duration(-1)
		for at := range l.offsets(seed, length) {
			last = max(at, last+1)
			if last >= length || !yield(l.Start+last) {
				return
			}
		}
	}
}

// offsets yields ascending offsets from the start of a stream that lasts for d.
// It may go on beyond d.
func (l Load) offsets(seed uint64, d time.Duration) iter.Seq[time.Duration] {
	src := random.New(random.Hash(seed, l.Client+" "+l.Service+" "+l.Method+" "+l.Path+" "+l.Kind))
	switch l.Kind {
	case Poisson:
		return ramp(src, l.Rate, l.Rate, d)
	case Ramp:
		return ramp(src, l.Rate, l.To, d)
	case Constant:
		return even(l.Rate)
	case Burst:
		return bursts(l.Burst, l.Every)
	case Replay:
		return replay(l.At)
	}
	return func(func(time.Duration) bool) {}
}

// even yields offsets 1/rate seconds apart, each computed from the first one so
// that errors do not add up.
func even(rate float64) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for n := 0.0; yield(nanoseconds(n / rate)); n++ {
		}
	}
}

// ramp yields a Poisson process whose rate goes from a to b per second within
// d. It takes one of rate 1 and stretches its time, which is how many arrivals
// are expected by then. Source: Çinlar, "Introduction to Stochastic Processes",
// 1975, chapter 4, section 7.
func ramp(src rand.Source, a, b float64, d time.Duration) iter.Seq[time.Duration] {
	slope := (b - a) / d.Seconds()
	return func(yield func(time.Duration) bool) {
		for expected := 0.0; ; {
			expected -= math.Log1p(-random.Float64(src))
			t, ever := reached(expected, a, slope)
			if !ever || !yield(nanoseconds(t)) {
				return
			}
		}
	}
}

// reached returns after how many seconds n arrivals are expected at a rate that
// begins with a and grows by slope per second: the root of slope/2·t² + a·t = n
// in the form that loses no digits for a small slope. ever is false if the rate
// falls to zero before.
func reached(n, a, slope float64) (t float64, ever bool) {
	square := a*a + 2*slope*n
	if square < 0 {
		return 0, false
	}
	return 2 * n / (a + math.Sqrt(square)), true
}

// bursts yields n equal offsets at once, and again after each every.
func bursts(n int, every time.Duration) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for at := time.Duration(0); ; at += every {
			for range n {
				if !yield(at) {
					return
				}
			}
			if every <= 0 || at > math.MaxInt64-every {
				return
			}
		}
	}
}

func replay(at []time.Duration) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for _, t := range at {
			if !yield(t) {
				return
			}
		}
	}
}

// nanoseconds rounds seconds down, and to a time that no run reaches.
func nanoseconds(seconds float64) time.Duration {
	const longest = math.MaxInt64 / 4
	ns := seconds * float64(time.Second)
	if !(ns < longest) { // NaN too
		return longest
	}
	return time.Duration(ns)
}
