package balance

import (
	"math"
	"time"
)

const (
	// latencyTau is how long the latency of an endpoint is remembered: after
	// it, what was learnt counts for 1/e of what is learnt now.
	latencyTau = 10 * time.Second
	// failurePenalty is how long a failed attempt is taken to last, if it did
	// not take longer: an endpoint that fails fast must not look fast.
	failurePenalty = float64(5 * time.Second)
	// latencyTick is the resolution of the times of observations.
	latencyTick = 1 << 16
	// overtaken is how many ticks an observation can be older than one that was
	// noted before it, because two goroutines were at it: 69 s.
	overtaken = 1 << 20
)

// observeLatency moves e's latency by one observation: up at once, down by a
// moving average over time. Source: peak EWMA, Finagle's load metric (Twitter
// 2016). The value and the time of its last change share a word: nanoseconds as
// a float32 in the low half, ticks in the high half. A zero word says that
// nothing is known.
func (e *Endpoint) observeLatency(now int64, d time.Duration) {
	took := float64(max(d, 1))
	tick := uint32(now / latencyTick)
	for {
		old := e.latency.Load()
		value := took
		if old != 0 {
			before := float64(math.Float32frombits(uint32(old)))
			if took <= before {
				age := latencyAge(old, now)
				if age == 0 {
					return // within the same tick nothing fades
				}
				keep := fade(age)
				value = took*(1-keep) + before*keep
			}
		}
		next := uint64(tick)<<32 | uint64(math.Float32bits(float32(value)))
		if e.latency.CompareAndSwap(old, next) {
			return
		}
	}
}

// latencyAt returns the latency that word stands for, as it has faded by now:
// an endpoint that was slow is tried again in time. It is 0 if nothing is known.
func latencyAt(word uint64, now int64) float64 {
	if word == 0 {
		return 0
	}
	return float64(math.Float32frombits(uint32(word))) * fade(latencyAge(word, now))
}

// latencyAge returns how many nanoseconds ago word was made. Ticks begin again
// after 78 hours, and with them the age of a word that has not changed since:
// then it counts once more, until the next observation.
func latencyAge(word uint64, now int64) int64 {
	ticks := uint32(now/latencyTick) - uint32(word>>32)
	if ticks > math.MaxUint32-overtaken {
		return 0
	}
	return int64(ticks) * latencyTick
}

// fade is e^(-ns/tau). The first two terms of the series are exact to a
// millionth where calls come often.
func fade(ns int64) float64 {
	x := float64(ns) / float64(latencyTau)
	if x < 1e-3 {
		return 1 - x
	}
	return math.Exp(-x)
}

// learnLatency takes in how long an attempt took that ended now.
func (e *Endpoint) learnLatency(now int64, r Result) {
	if r.Answered {
		return
	}
	switch r.Outcome {
	case Success:
		e.observeLatency(now, r.Latency)
	case Failure, Timeout, Cancelled:
		// An answer would have taken longer than that. How often it fails is
		// counted apart: see rate.
		if word := e.latency.Load(); float64(r.Latency) > latencyAt(word, now) {
			e.observeLatency(now, r.Latency)
		}
	case Overload, ConnectError: // refused before any work
	}
}

// Answered tells that the answer to an attempt has begun, wait after it was
// sent. It is for attempts that may go on for long, such as streams: they stay
// in flight but no longer count as waiting. Calling it is optional; it comes
// before Done, once, and [Result.Answered] must then be set.
func (e *Endpoint) Answered(wait time.Duration) {
	e.waiting.Add(-1)
	if v := e.balancer.view.Load(); v.byLatency {
		now := e.balancer.now()
		e.busySince.Store(now)
		e.observeLatency(now, wait)
		if v.sumsTimes {
			e.took.Add(int64(wait))
		}
	}
}

// expected returns how long a call to e will probably take, were it alone
// there: its latency, or how long those that wait have done so in vain if that
// is longer, and the penalty for the part of its calls that fail.
func (e *Endpoint) expected(latency float64, now int64) float64 {
	d := max(latency, e.stalled(now))
	if p := rateAt(e.failureRate.Load(), now); p > 0 && d < failurePenalty {
		d += p * (failurePenalty - d)
	}
	return d
}

// stalled returns how long calls have been waiting at e without one of them
// being answered.
func (e *Endpoint) stalled(now int64) float64 {
	if e.waiting.Load() <= 0 {
		return 0
	}
	since := e.busySince.Load()
	if since == 0 || since > now {
		return 0
	}
	return float64(now - since)
}
