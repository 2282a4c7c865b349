package collapse

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// gathering is a batch and those who wait for it. Until it begins, it is guarded
// by the Collapser's lock; results and err are written before done is closed.
type gathering[K comparable, V any] struct {
	timer    *time.Timer
	keys     []K       // in the order in which they came; some may have been left
	waiting  map[K]int // callers by key
	callers  int
	deadline time.Time // the latest of the callers'
	endless  bool      // one has none

	ctx        context.Context // nil before it begins
	cancelWith context.CancelCauseFunc
	cancel     context.CancelFunc

	done    chan struct{}
	results map[K]Result[V]
	err     error
}

func newGathering[K comparable, V any]() *gathering[K, V] {
	return &gathering[K, V]{waiting: map[K]int{}, done: make(chan struct{})}
}

// add counts a caller for key.
func (g *gathering[K, V]) add(ctx context.Context, key K) {
	if g.waiting[key] == 0 {
		g.keys = append(g.keys, key)
	}
	g.waiting[key]++
	g.callers++
	d, ok := ctx.Deadline()
	g.endless = g.endless || !ok
	if d.After(g.deadline) {
		g.deadline = d
	}
}

// remove takes out a caller for key and reports whether it was the last one.
func (g *gathering[K, V]) remove(key K) bool {
	g.callers--
	if g.waiting[key]--; g.waiting[key] <= 0 {
		delete(g.waiting, key)
	}
	return g.callers == 0
}

// begin makes the batch's context and returns its keys: those that somebody
// still waits for, each once.
func (g *gathering[K, V]) begin() []K {
	keys := make([]K, 0, len(g.waiting))
	seen := make(map[K]struct{}, len(g.waiting))
	for _, k := range g.keys {
		if _, again := seen[k]; !again && g.waiting[k] > 0 {
			seen[k] = struct{}{}
			keys = append(keys, k)
		}
	}
	g.ctx, g.cancelWith = context.WithCancelCause(context.Background())
	stop := context.CancelFunc(func() {})
	if !g.endless {
		g.ctx, stop = context.WithDeadline(g.ctx, g.deadline)
	}
	g.cancel = func() {
		g.cancelWith(context.Canceled)
		stop()
	}
	return keys
}

// ask calls the batch function and gives its results to those who wait.
func (g *gathering[K, V]) ask(fetch Batch[K, V], keys []K) {
	n := len(keys)
	err := errors.New("collapse: the batch ended without returning") // stands if fetch calls runtime.Goexit
	var results map[K]Result[V]
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		g.results = results
		g.fail(err)
	}()
	results, err = fetch(g.ctx, keys)
	if err == nil {
		return
	}
	if cause := context.Cause(g.ctx); errors.Is(cause, ErrClosed) {
		err = cause
		return
	}
	err = fmt.Errorf("collapse: batch of %d: %w", n, err)
}

// fail ends the gathering; with a nil error each caller has the result of its
// key.
func (g *gathering[K, V]) fail(err error) {
	g.err = err
	close(g.done)
}

// result returns what the batch brought for key.
func (g *gathering[K, V]) result(key K) (V, error) {
	var none V
	if g.err != nil {
		return none, g.err
	}
	r, ok := g.results[key]
	switch {
	case !ok:
		return none, &MissingError{Key: key}
	case r.Err != nil:
		return none, r.Err
	default:
		return r.Value, nil
	}
}
