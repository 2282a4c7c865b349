package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// A Load is what a server says of itself, in the response to a call or asked by
// a probe, such as in ORCA's load report. What it does not say is negative, or
// zero where that makes no sense.
type Load struct {
	// RIF is how many requests it has in flight, this one not included;
	// negative if it does not say.
	RIF int
	// Latency is how long its requests take at present; zero if it does not say.
	Latency time.Duration
	// Utilization is how much of it is in use: 1 is all, and it may be above.
	// Zero if it does not say.
	Utilization float64
	// QPS is how many requests per second it answers, and EPS how many of them
	// it fails. Zero if it does not say.
	QPS, EPS float64
}

// Report takes in what the server says of itself. It is called by whoever reads
// it, once for each report, from any goroutine.
func (e *Endpoint) Report(l Load) {
	now := e.balancer.now()
	v := e.balancer.view.Load()
	if l.RIF >= 0 {
		e.last.latency.Store(int64(max(l.Latency, 0)))
		e.last.begun.Store(e.inflight.begun())
		e.reportRIF(now, l.RIF)
		if v.policy.Name == PeakEWMA {
			e.balancer.recent.heard(e, now, l.RIF)
		}
	}
	e.served.report(now, l, v.policy.Weighted.ErrorPenalty)
}

// reportRIF notes the requests in flight at the server. The count and the time
// share a word: the count plus one in the low half, ticks in the high half. A
// zero word says that nothing is known.
func (e *Endpoint) reportRIF(now int64, rif int) {
	e.reported.Store(uint64(uint32(now/latencyTick))<<32 | uint64(uint32(min(rif, math.MaxInt32-1)+1)))
}

// Reported returns how many requests the server last said it has in flight, and
// how long ago; ok is false if it has never said.
func (e *Endpoint) Reported() (rif int, ago time.Duration, ok bool) {
	word := e.reported.Load()
	if word == 0 {
		return 0, 0, false
	}
	return int(uint32(word)) - 1, time.Duration(latencyAge(word, e.balancer.now())), true
}

// load returns how many calls are at the server: what it reported and those
// that this client has sent since, the older the closer to the mean.
func (e *Endpoint) load(mean float64, now int64) float64 {
	word := e.reported.Load()
	if word == 0 {
		return mean
	}
	sent := max(0, int32(e.inflight.begun()-e.last.begun.Load()))
	return mean + (float64(uint32(word))-1+float64(sent)-mean)*reportLife.faded(latencyAge(word, now))
}

// reportLife is the half-life of a report, 0.54 s: about how long a queue lasts.
const reportLife halfLife = 29

const (
	// recentSlots is how many are remembered. One is too few for many picks at
	// once, and eight are hardly better than four.
	recentSlots = 4
	// recentFrom is how many requests servers must have on average for the
	// choice among these few to be worth it.
	recentFrom = 1.0
	// recentWeight is for how much a report counts in the mean.
	recentWeight = 1.0 / 32
)

// recent remembers the endpoints that were the last to report their load. A
// client of a hundred servers knows of a few what they have to do now and of
// the rest what they had to do long ago, so these few are good candidates: the
// better one knows, the less a choice can go wrong. Where servers have next to
// nothing to do there is no need of that, and it would favour some of them.
// Source: Wydrowski et al., "Load is not what you should balance: Introducing
// Prequal", NSDI 2024, whose pool of probes this is without the probes.
type recent struct {
	_     [64]byte
	word  atomic.Uint64 // the mean load: see stamp
	next  atomic.Uint32 // slot
	slots [recentSlots]atomic.Pointer[Endpoint]
	_     [64]byte
}

// heard takes in a report. Of two at once the mean may lose one.
func (r *recent) heard(e *Endpoint, now int64, rif int) {
	mean := float64(rif)
	if word := r.word.Load(); word != 0 {
		if latencyAge(word, now) < usualGap {
			return
		}
		mean = stamped(word) + (mean-stamped(word))*recentWeight
	}
	r.word.Store(stamp(now, mean))
	for i := range r.slots {
		if r.slots[i].Load() == e {
			return
		}
	}
	r.slots[r.next.Add(1)%recentSlots].Store(e)
}

// mean returns how many requests servers have in flight on average, or 0 if
// none has said so lately.
func (r *recent) mean(now int64) float64 {
	word := r.word.Load()
	if word == 0 || latencyAge(word, now) > forgotten<<reportLife {
		return 0
	}
	return stamped(word)
}

// offerRecent offers the endpoints that reported last, if they are candidates.
// Each knows its place in the set that it was last picked from, which need not
// be this one.
func (w *wager) offerRecent(r *recent) {
	for i := range r.slots {
		e := r.slots[i].Load()
		if e == nil {
			continue
		}
		at := int(e.place.Load())
		if at < w.c.Len() && w.c.At(at) == e && w.c.free(at) && w.c.warmth(e) >= 1 {
			w.offer(at)
		}
	}
}
