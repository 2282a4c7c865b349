package limit

import (
	"math"
	"time"
)

// A window is enough to decide on when it has many samples, or fewer and has
// lasted for long.
var windowSizes = []struct {
	samples int
	lasting time.Duration
}{
	{200, 100 * time.Millisecond},
	{50, 250 * time.Millisecond},
	{20, time.Second},
	{10, 5 * time.Second},
}

// outlier is how many times the mean a request may count for at most: a few
// that hang must not look like a server that is slow.
const outlier = 8

// window sums up requests that have ended.
type window struct {
	opened time.Time // when the first of them ended
	n      int
	sum    float64 // of nanoseconds
	square float64 // sum of their squares
	drops  int
}

// add counts a request that took so long. usual is the least mean to measure
// it by, in nanoseconds.
func (w *window) add(took time.Duration, usual float64, dropped bool) {
	ns := max(1, float64(took))
	if w.n > 0 {
		usual = max(usual, w.sum/float64(w.n))
	}
	if usual > 0 {
		ns = min(ns, outlier*usual)
	}
	w.n++
	w.sum += ns
	w.square += ns * ns
	if dropped {
		w.drops++
	}
}

// time returns the logarithm of the mean in nanoseconds.
func (w *window) time() float64 { return math.Log(w.sum / float64(w.n)) }

// doubt returns the standard error of time.
func (w *window) doubt() float64 {
	n := float64(w.n)
	mean := w.sum / n
	return math.Sqrt(max(0, w.square/n-mean*mean)/n) / mean
}

// dropped returns the share of requests that ran out of time.
func (w *window) dropped() float64 { return float64(w.drops) / float64(w.n) }

// mostDropped reports whether at least half of the requests ran out of time.
func (w *window) mostDropped() bool { return w.dropped() >= 0.5 }

// span returns how long a request takes that is found in progress at some
// moment, on average: longer than the mean, for the longer they take the more
// of them are found.
func (w *window) span() time.Duration { return time.Duration(w.square / w.sum) }

// enough reports whether to decide.
func (w *window) enough(now time.Time) bool {
	lasted := now.Sub(w.opened)
	for _, size := range windowSizes {
		if w.n >= size.samples && lasted >= size.lasting {
			return true
		}
	}
	return false
}
