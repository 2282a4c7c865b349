package load

import (
	"iter"
	"math/rand/v2"
	"time"
)

// arrivals yields when calls start, as offsets from the beginning, until d.
// They come at rate per second: evenly, or with a generator as a Poisson
// process, in which gaps are exponential and calls come in clumps as those of
// independent visitors do.
func arrivals(rate float64, d time.Duration, poisson *rand.Rand) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		gap := float64(time.Second) / rate
		for at := 0.0; at < float64(d); {
			if !yield(time.Duration(at)) {
				return
			}
			if poisson == nil {
				at += gap
			} else {
				at += gap * poisson.ExpFloat64()
			}
		}
	}
}
