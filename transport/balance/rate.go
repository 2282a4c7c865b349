package balance

import (
	"math"
	"time"
)

// The failure rate of an endpoint is a moving average over its calls that also
// halves with time, so that one that gets no calls any more is tried again.
const (
	rateWeight  = 0.1          // of the newest call
	rateLife    = halfLife(31) // 2.1 s, of what is remembered
	rateFloor   = 0.01         // what is below counts as nothing
	ratePenalty = 20.0         // an endpoint that fails always looks 1+20 times as loaded
)

// rateMemory is how long after its last change the highest rate falls below
// the floor.
var rateMemory = time.Duration(float64(int64(1)<<rateLife) * -math.Log2(rateFloor))

// observeRate moves e's failure rate by one call. The rate and the time of its
// last change share a word: see stamp. A zero word is a rate of zero.
func (e *Endpoint) observeRate(now int64, failed bool) {
	for {
		old := e.failureRate.Load()
		rate := rateAt(old, now)
		if failed {
			rate += (1 - rate) * rateWeight
			raise(&e.balancer.timed, now+int64(rateMemory))
		} else {
			rate -= rate * rateWeight
		}
		next := uint64(0)
		if rate >= rateFloor {
			next = stamp(now, rate)
		}
		if old == next || e.failureRate.CompareAndSwap(old, next) {
			return
		}
	}
}

// rateAt returns the rate that word stands for, as it has faded by now.
func rateAt(word uint64, now int64) float64 {
	if word == 0 {
		return 0
	}
	rate := stamped(word) * rateLife.halved(latencyAge(word, now))
	if rate < rateFloor {
		return 0
	}
	return rate
}
