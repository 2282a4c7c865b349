package breaker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A FallbackOption sets up a [Fallback]. The later of two equal options wins.
type FallbackOption interface{ applyFallback(*fallbackConfig) }

type fallbackOptionFunc func(*fallbackConfig)

func (f fallbackOptionFunc) applyFallback(c *fallbackConfig) { f(c) }

type fallbackConfig struct {
	timeout time.Duration
	limit   int
}

// WithFallbackTimeout bounds the context of the fallback, within what the
// caller's has left. d must be positive. Default 1 s.
func WithFallbackTimeout(d time.Duration) FallbackOption {
	return fallbackOptionFunc(func(c *fallbackConfig) { c.timeout = d })
}

// WithFallbackLimit bounds how many fallbacks run at once; more are not queued
// but fail with [ErrFallbackBusy]. n must be positive. Default 64.
func WithFallbackLimit(n int) FallbackOption {
	return fallbackOptionFunc(func(c *fallbackConfig) { c.limit = n })
}

// A Fallback answers in place of calls that were refused or failed, from a
// cache or with a reduced answer. When a dependency is down every call comes
// here, so it is bounded in time and number itself. Make one with
// [NewFallback]; it may be used with several breakers and from many goroutines
// at once.
type Fallback[T any] struct {
	fn      func(ctx context.Context, cause error) (T, error)
	timeout time.Duration
	places  chan struct{}

	used, failed, refused atomic.Uint64
}

// NewFallback returns a Fallback that runs fn. fn is given the error of the call
// it stands in for, and must heed its ctx: one that does not keeps its place
// until it returns. The error joins everything that is wrong.
func NewFallback[T any](fn func(ctx context.Context, cause error) (T, error), opts ...FallbackOption) (*Fallback[T], error) {
	c := fallbackConfig{timeout: time.Second, limit: 64}
	for _, o := range opts {
		o.applyFallback(&c)
	}
	var errs []error
	if fn == nil {
		errs = append(errs, errors.New("breaker: fallback is nil"))
	}
	if c.timeout <= 0 {
		errs = append(errs, fmt.Errorf("breaker: fallback timeout is %v, want above 0", c.timeout))
	}
	if c.limit <= 0 {
		errs = append(errs, fmt.Errorf("breaker: fallback limit is %d, want at least 1", c.limit))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Fallback[T]{fn: fn, timeout: c.timeout, places: make(chan struct{}, c.limit)}, nil
}

// Do calls fn through b as [Do] does. If b refuses it, or fn fails by an error
// that counts as a failure or as [Busy], the result is the fallback's. It is fn's own,
// whatever it is, if fn succeeds, panics, or fails by an error that says nothing
// about the dependency, and whenever ctx is done: a caller who has left needs no
// second answer. If the fallback fails too, the error wraps both.
func (f *Fallback[T]) Do(ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	v, outcome, err := guard(ctx, b, fn)
	if err == nil || outcome != Failure && outcome != Busy || ctx.Err() != nil {
		return v, err
	}
	second, ferr := f.run(ctx, err)
	if ferr != nil {
		return v, fmt.Errorf("%w; fallback: %w", err, ferr)
	}
	return second, nil
}

// run calls the fallback if there is a place.
func (f *Fallback[T]) run(ctx context.Context, cause error) (v T, err error) {
	select {
	case f.places <- struct{}{}:
	default:
		f.refused.Add(1)
		return v, ErrFallbackBusy
	}
	f.used.Add(1)
	err = errAborted // stands if fn panics or calls runtime.Goexit
	defer func() {
		<-f.places
		if err != nil {
			f.failed.Add(1)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return f.fn(ctx, cause)
}

// FallbackCounts are counted since the Fallback was made.
type FallbackCounts struct {
	// Used is how often the fallback ran.
	Used uint64
	// Failed is how many of those returned an error or did not return.
	Failed uint64
	// Refused is how often it was needed and all places were taken.
	Refused uint64
}

// Counts returns how the fallback has been used.
func (f *Fallback[T]) Counts() FallbackCounts {
	return FallbackCounts{Used: f.used.Load(), Failed: f.failed.Load(), Refused: f.refused.Load()}
}
