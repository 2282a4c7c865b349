package balance

import (
	"cmp"
	"slices"
)

// counts are the calls of an endpoint up to some moment. They go round; only
// differences matter.
type counts struct {
	ended, failed, cancelled uint32
	took                     int64
}

func (e *Endpoint) counts() counts {
	return counts{e.inflight.ended(), e.failed.Load(), e.cancelled.Load(), e.took.Load()}
}

// A sample is what an endpoint's calls of one interval were like.
type sample struct {
	endpoint *Endpoint
	failed   float64 // percent
	took     float64 // nanoseconds, on average
}

// sample returns what the calls of the interval were like, and how many counted.
func (e *Endpoint) sample() (s sample, calls int) {
	c := e.counts()
	calls = int(int32(c.ended-e.before.ended)) - int(int32(c.cancelled-e.before.cancelled))
	return sample{
		endpoint: e,
		failed:   100 * float64(c.failed-e.before.failed) / float64(calls),
		took:     float64(c.took-e.before.took) / float64(calls),
	}, calls
}

// addTime adds up how long calls take, where endpoints are compared by it.
func (e *Endpoint) addTime(now int64, r Result) {
	if r.Outcome == Cancelled {
		return
	}
	if !r.Answered {
		e.took.Add(int64(r.Latency))
	}
	e.balancer.compare(now)
}

// compare ends the interval that is over, ejects the outliers, and begins the
// next one. Unless latencies are compared only failures ask for it: while all is
// well nothing is counted, and the first failure begins an interval. One that
// was over long ago is not judged by.
func (b *Balancer) compare(now int64) {
	if now < b.ends.Load() || b.view.Load().policy.Ejection.Disabled {
		return
	}
	defer b.deliver()
	b.mu.Lock()
	defer b.mu.Unlock()
	ends, interval := b.ends.Load(), int64(b.policy.Ejection.Interval)
	if now < ends {
		return // somebody else has
	}
	if ends != 0 && now-ends < interval {
		b.ejectOutliers(now)
	}
	for _, e := range b.all {
		e.before = e.counts()
	}
	b.ends.Store(now + interval)
}

// ejectOutliers ejects, worst first, the endpoints that stand out from the rest
// in the interval, as far as that is allowed. The rule of gRFC A50 and Envoy,
// so many standard deviations from the mean, would not do: if all but one are
// perfect, that one stands out however little it fails.
func (b *Balancer) ejectOutliers(now int64) {
	p := &b.policy.Ejection
	var seen []sample
	for _, e := range b.all {
		if s, calls := e.sample(); calls >= p.MinCalls {
			seen = append(seen, s)
		}
	}
	room := b.room()
	free := room
	expel := func(worst []sample, r Reason) {
		for _, s := range worst {
			if free > 0 && s.endpoint.State() == Available {
				b.eject(s.endpoint, now, r)
				free--
			}
		}
	}
	expel(failing(seen, p), FailureRate)
	expel(slow(seen, p), HighLatency)
	if free < room {
		b.refresh()
	}
}

// failing returns those of seen that fail too often, the worst first.
func failing(seen []sample, p *Ejection) []sample {
	return outliers(seen, func(s sample) float64 { return s.failed }, func(percent, median float64) bool {
		return percent > float64(p.FailurePercent) && percent-median >= float64(p.Gap)
	})
}

// slow returns those of seen that take too long, the worst first.
func slow(seen []sample, p *Ejection) []sample {
	if p.LatencyFactor == 0 {
		return nil
	}
	return outliers(seen, func(s sample) float64 { return s.took }, func(took, median float64) bool {
		return took > p.LatencyFactor*median
	})
}

// outliers returns those of seen whose value is too high, the highest first.
// The median of an even number of values is the lower of the two in the middle.
// seen is reordered.
func outliers(seen []sample, value func(sample) float64, high func(v, median float64) bool) []sample {
	slices.SortStableFunc(seen, func(x, y sample) int { return cmp.Compare(value(y), value(x)) })
	for i, s := range seen {
		if !high(value(s), value(seen[len(seen)/2])) {
			return seen[:i]
		}
	}
	return seen
}
