package metrics

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// exemplarInterval is how long an exemplar of a bucket stays before another
// takes its place. Scrapes come less often, and see one at a time.
const exemplarInterval = time.Second

// durations is one series of a duration histogram. Making an exemplar takes 11
// allocations, so that each bucket gets one a second, however many calls are
// sampled: what is rare is always shown.
type durations struct {
	prometheus.Observer
	made time.Time
	due  []atomic.Int64 // by bucket, when the next exemplar may come: nanoseconds since made
}

func newDurations(o prometheus.Observer) *durations {
	return &durations{o, time.Now(), make([]atomic.Int64, len(buckets)+1)}
}

// observe records d, with the trace id of ctx if its span is sampled and an
// exemplar is due.
func (s *durations) observe(ctx context.Context, d time.Duration) {
	v := seconds(d)
	span := trace.SpanContextFromContext(ctx)
	if span.IsSampled() && span.HasTraceID() && s.isDue(v) {
		if e, ok := s.Observer.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(v, prometheus.Labels{"trace_id": span.TraceID().String()})
			return
		}
	}
	s.Observe(v)
}

// isDue reports whether the bucket of v is to get an exemplar, which no other
// caller is then told.
func (s *durations) isDue(v float64) bool {
	bucket, _ := slices.BinarySearch(buckets, v)
	due, now := &s.due[bucket], time.Since(s.made)
	at := due.Load()
	return int64(now) >= at && due.CompareAndSwap(at, int64(now+exemplarInterval))
}

func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
