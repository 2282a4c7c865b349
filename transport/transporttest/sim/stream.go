package sim

import (
	"iter"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// pause is how long a worker of a closed loop waits at least if its call took
// no time at all.
const pause = time.Millisecond

// stream is one of Config.Load.
type stream struct {
	run        *run
	load       load.Load
	index      uint64
	callers    []*caller
	until      time.Duration
	idempotent bool
	calls      int

	arrival event // of an open loop
	next    func() (time.Duration, bool)
}

func (r *run) addStream(i int) error {
	l := r.Load[i]
	callers, err := r.callersOf(l.Client, l.Service)
	if err != nil {
		return err
	}
	h := http.Header{}
	for k, v := range l.Header {
		h.Set(k, v)
	}
	s := &stream{
		run: r, load: l, index: uint64(i), callers: callers, until: l.Until(r.For),
		idempotent: retry.Idempotent(l.Method, h),
	}
	if !l.Open() {
		s.startWorkers()
		return nil
	}
	var stop func()
	s.next, stop = iter.Pull(l.Arrivals(random.Hash(r.Seed, "arrivals", s.index), r.For))
	r.atEnd = append(r.atEnd, stop)
	s.await()
	return nil
}

// await plans the next call of an open loop.
func (s *stream) await() {
	if at, ok := s.next(); ok {
		s.run.agenda.plan(&s.arrival, at, s)
	}
}

// happen is the arrival of a call.
func (s *stream) happen(*event) {
	i := int(s.run.chance("caller", s.index, uint64(s.calls)) * float64(len(s.callers)))
	s.begin(s.callers[i], nil)
	s.await()
}

// begin makes a call. w is the worker who does, or nil.
func (s *stream) begin(c *caller, w *worker) {
	s.run.calls++
	s.run.open++
	n := s.calls
	s.calls++
	c.begin(s, n, w)
}

// worker makes the calls of a closed loop, one after the other.
type worker struct {
	stream *stream
	caller *caller
	index  uint64
	calls  uint64
	turn   event
}

func (s *stream) startWorkers() {
	for i := range s.load.Workers {
		w := &worker{stream: s, caller: s.callers[i%len(s.callers)], index: uint64(i)}
		s.run.agenda.plan(&w.turn, s.load.Start, w)
	}
}

func (w *worker) happen(*event) { w.stream.begin(w.caller, w) }

// ended plans the next call after one that began at start has ended.
func (w *worker) ended(start time.Duration) {
	r := w.stream.run
	w.calls++
	think := w.stream.load.Think.At(r.chance("think", w.stream.index, w.index, w.calls))
	if think == 0 && r.now == start {
		think = pause
	}
	if at := r.now + think; at < w.stream.until {
		r.agenda.plan(&w.turn, at, w)
	}
}
