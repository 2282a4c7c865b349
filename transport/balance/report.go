package balance

import (
	"math"
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
	if l.RIF >= 0 {
		e.last.latency.Store(int64(max(l.Latency, 0)))
		e.last.begun.Store(e.inflight.begun())
		e.reportRIF(now, l)
	}
	e.served.report(now, l, e.balancer.view.Load().policy.Weighted.ErrorPenalty)
}

// reportRIF notes the requests in flight at the server. The count and the time
// share a word: the count plus one in the low half, ticks in the high half. A
// zero word says that nothing is known.
func (e *Endpoint) reportRIF(now int64, l Load) {
	e.reported.Store(uint64(uint32(now/latencyTick))<<32 | uint64(uint32(min(l.RIF, math.MaxInt32-1)+1)))
}

// Reported returns how many requests the server last said it has in flight, and
// how long ago; ok is false if it has never said.
func (e *Endpoint) Reported() (rif int, age time.Duration, ok bool) {
	word := e.reported.Load()
	if word == 0 {
		return 0, 0, false
	}
	return int(uint32(word)) - 1, time.Duration(latencyAge(word, e.balancer.now())), true
}
