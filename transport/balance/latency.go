package balance

import "time"

const (
	// latencyLife is the half-life, 8.6 s, of what is known of an endpoint's
	// latency if no call tells more: a slow one is tried again after half a
	// minute.
	latencyLife halfLife = 33
	// fresh is below which age nothing has faded that is worth a calculation:
	// less than a thousandth.
	fresh = 1 << 23
	// The newest call counts for so much of the latency: more if it took
	// longer, since slow endpoints get few calls to be found out by. Together
	// they come to 1.5 times the mean if times are exponential.
	latencyUp   = 0.2
	latencyDown = 0.07
	// latencyMost bounds how far beyond the latency one call counts: one in
	// thousands may take a second, anywhere.
	latencyMost = 8.0
	// failurePenalty is how long a failed attempt is taken to last, if it did
	// not take longer: an endpoint that fails fast must not look fast.
	failurePenalty = float64(5 * time.Second)
)

// observeLatency moves e's latency by one observation. It is a moving average
// over calls, not over time: over the last seconds of exponential times a
// healthy endpoint with many calls has a longer peak than a slow one with few.
func (e *Endpoint) observeLatency(now int64, d time.Duration) {
	took := float64(max(d, 1))
	usual := e.balancer.usual.latency()
	if usual == 0 {
		e.balancer.usual.begin(took)
		usual = took
	}
	for {
		old := e.latency.Load()
		value := latencyAt(old, now, usual)
		if took > value {
			value += latencyUp * (min(took, latencyMost*value) - value)
		} else {
			value += latencyDown * (took - value)
		}
		if e.latency.CompareAndSwap(old, stamp(now, value)) {
			return
		}
	}
}

// latencyAt returns the latency that word stands for, as it has faded by now
// towards what is usual. An endpoint of which nothing is known is like that.
func latencyAt(word uint64, now int64, usual float64) float64 {
	if word == 0 {
		return usual
	}
	age := latencyAge(word, now)
	if age < fresh {
		return stamped(word)
	}
	return usual + (stamped(word)-usual)*latencyLife.faded(age)
}

// remembered returns what is known of e's latency, 0 if that is nothing.
func (e *Endpoint) remembered(now int64) time.Duration {
	word := e.latency.Load()
	if word == 0 {
		return 0
	}
	return time.Duration(latencyAt(word, now, e.balancer.usual.latency()))
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
		if float64(r.Latency) > latencyAt(e.latency.Load(), now, e.balancer.usual.latency()) {
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
	e.answered.Add(1)
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
	d := max(latency, e.stalled(now), 1)
	if word := e.failureRate.Load(); word != 0 && d < failurePenalty {
		d += rateAt(word, now) * (failurePenalty - d)
	}
	return d
}

// stalled returns how long calls have been waiting at e without one of them
// being answered.
func (e *Endpoint) stalled(now int64) float64 {
	if e.inflight.Load() <= int64(e.answered.Load()) {
		return 0
	}
	since := e.busySince.Load()
	if since == 0 || since > now {
		return 0
	}
	return float64(now - since)
}
