package retry

import (
	"math"
	"sync/atomic"
	"time"
)

// MinAttempt is the least time that must be left for an attempt to be started,
// whatever is known of the service.
const MinAttempt = 5 * time.Millisecond

// A floor remembers for one to two spans, and says nothing before it has seen
// so many answers: what one of them took may have been bad luck.
const (
	floorSpan   = 10 * time.Second
	floorEnough = 20
)

// A Floor knows the least time that a service's answers have taken of late. An
// attempt with less time than that cannot finish, as far as anybody can tell,
// and only costs. It is safe for concurrent use, and the zero Floor knows
// nothing yet.
//
// The times that it is given are compared by their monotonic reading, if they
// have one: a step of the wall clock changes nothing.
type Floor struct {
	start atomic.Pointer[time.Time]  // of span 0: when the first answer came; nil before
	spans [2]atomic.Pointer[floorOf] // by the parity of their numbers
}

// floorOf is what was seen in one span.
type floorOf struct {
	number int64
	least  atomic.Int64 // nanoseconds
	seen   atomic.Int32 // up to floorEnough
}

// Record tells that an answer came now, after it had been waited for so long.
func (f *Floor) Record(now time.Time, took time.Duration) {
	if f.start.Load() == nil {
		f.begin(now)
	}
	s := f.span(now)
	for least := s.least.Load(); int64(took) < least && !s.least.CompareAndSwap(least, int64(took)); {
		least = s.least.Load()
	}
	if s.seen.Load() < floorEnough {
		s.seen.Add(1)
	}
}

// begin makes now the start, unless somebody else was quicker.
func (f *Floor) begin(now time.Time) { f.start.CompareAndSwap(nil, &now) }

// span returns that of now, begun if it is the first time.
func (f *Floor) span(now time.Time) *floorOf {
	n := f.number(now)
	place := &f.spans[n&1]
	s := place.Load()
	if s != nil && s.number == n {
		return s
	}
	fresh := &floorOf{number: n}
	fresh.least.Store(math.MaxInt64)
	if place.CompareAndSwap(s, fresh) {
		return fresh
	}
	return place.Load() // which somebody else has begun
}

// Needed returns how much time must be left at now for an attempt to make
// sense: the least that an answer has taken within the last 10 to 20 s, if there
// were 20 or more, and [MinAttempt] otherwise or if that is longer.
func (f *Floor) Needed(now time.Time) time.Duration {
	n := f.number(now)
	seen, least := int32(0), int64(math.MaxInt64)
	for i := range f.spans {
		if s := f.spans[i].Load(); s != nil && (s.number == n || s.number == n-1) {
			seen += s.seen.Load()
			least = min(least, s.least.Load())
		}
	}
	if seen < floorEnough {
		return MinAttempt
	}
	return max(MinAttempt, time.Duration(least))
}

// number returns that of the span of now.
func (f *Floor) number(now time.Time) int64 {
	start := f.start.Load()
	if start == nil {
		return 0
	}
	return int64(now.Sub(*start) / floorSpan)
}
