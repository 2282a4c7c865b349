package report

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and the precision of latencies.
const (
	shortest = time.Microsecond
	longest  = time.Hour
	digits   = 3
)

// latencies is a histogram of durations.
type latencies struct {
	h        *hdrhistogram.Histogram
	min, max time.Duration
	clamped  int
}

func newLatencies() *latencies {
	return &latencies{h: hdrhistogram.New(int64(shortest), int64(longest), digits)}
}

// add counts d, or the nearest duration in range.
func (l *latencies) add(d time.Duration) {
	in := inRange(d)
	if in != d {
		l.clamped++
	}
	if l.h.TotalCount() == 0 {
		l.min, l.max = in, in
	}
	l.min, l.max = min(l.min, in), max(l.max, in)
	_ = l.h.RecordValue(int64(in)) // refuses only what is out of range
}

// quantile returns the duration that the part q of all is not above, 0 if there
// are none. It never lies outside what was added, as the edges of the
// histogram's buckets may.
func (l *latencies) quantile(q float64) time.Duration {
	if l.h.TotalCount() == 0 {
		return 0
	}
	return max(l.min, min(time.Duration(l.h.ValueAtQuantile(q*100)), l.max))
}

// inRange returns the duration nearest to d that a histogram can hold.
func inRange(d time.Duration) time.Duration { return max(shortest, min(d, longest)) }
