package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// errHung is the failure of a read that did not end in time.
var errHung = errors.New("metrics: read did not finish in time")

// source reads a state at scrape time. Scrapes that overlap share one read, so
// a read that hangs holds one goroutine however often it is asked for.
type source[T any] struct {
	read func() (T, error)

	mu      sync.Mutex
	pending *reading[T] // nil if none runs
}

// reading is one run of a read function; value and err are set before done is
// closed.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// start returns the read that is running, or else starts one.
func (s *source[T]) start() *reading[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil {
		s.pending = &reading[T]{done: make(chan struct{})}
		go s.run(s.pending)
	}
	return s.pending
}

func (s *source[T]) run(r *reading[T]) {
	r.err = errors.New("metrics: read ended its goroutine") // stands after runtime.Goexit
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("metrics: read panicked: %v", p)
		}
		s.mu.Lock()
		s.pending = nil
		s.mu.Unlock()
		close(r.done)
	}()
	r.value, r.err = s.read()
}

// wait returns the result, or errHung if the read does not end before ctx.
func (r *reading[T]) wait(ctx context.Context) (value T, err error) {
	select {
	case <-r.done:
		return r.value, r.err
	default: // what is done counts even if ctx is, too
	}
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return value, errHung
	}
}

// sources is a set of sources of one kind. The zero value is empty.
type sources[T any] struct {
	mu  sync.Mutex
	all map[*source[T]]struct{}
}

// add puts read into the set until remove is called, which may happen more
// than once. A read that is running when remove is called runs to its end.
func (s *sources[T]) add(read func() T) (remove func()) {
	src := &source[T]{read: func() (T, error) { return read(), nil }}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*source[T]]struct{}{}
	}
	s.all[src] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, src)
	}
}

// start starts every read.
func (s *sources[T]) start() []*reading[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	readings := make([]*reading[T], 0, len(s.all))
	for src := range s.all {
		readings = append(readings, src.start())
	}
	return readings
}

// results waits for readings until ctx ends and returns those that succeeded.
func results[T any](ctx context.Context, readings []*reading[T]) (values []T, failed int) {
	for _, r := range readings {
		v, err := r.wait(ctx)
		if err != nil {
			failed++
			continue
		}
		values = append(values, v)
	}
	return values, failed
}
