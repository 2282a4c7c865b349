package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
)

var errCache = errors.New("cache empty")

func newFallback(t *testing.T, fn func(context.Context, error) (int, error), opts ...breaker.FallbackOption) *breaker.Fallback[int] {
	t.Helper()
	f, err := breaker.NewFallback(fn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFallback(t *testing.T) {
	errNotFound := errors.New("404")
	classify := breaker.WithClassifier(func(err error) breaker.Outcome {
		if errors.Is(err, errNotFound) {
			return breaker.Success
		}
		return breaker.Failure
	})
	for name, c := range map[string]struct {
		mode   breaker.Mode
		err    error // of the call
		second error // of the fallback
		value  int
		wants  []error
		counts breaker.FallbackCounts
	}{
		"call succeeds":      {value: 1},
		"call fails":         {err: errDown, value: 2, counts: breaker.FallbackCounts{Used: 1}},
		"call refused":       {mode: breaker.ModeOpen, value: 2, counts: breaker.FallbackCounts{Used: 1}},
		"both fail":          {err: errDown, second: errCache, wants: []error{errDown, errCache}, counts: breaker.FallbackCounts{Used: 1, Failed: 1}},
		"refused and failed": {mode: breaker.ModeOpen, second: errCache, wants: []error{breaker.ErrOpen, errCache}, counts: breaker.FallbackCounts{Used: 1, Failed: 1}},
		"answer is no":       {err: errNotFound, wants: []error{errNotFound}},
		"says nothing":       {err: context.Canceled, wants: []error{context.Canceled}},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustNew(t, classify)
			b.Force(c.mode)
			f := newFallback(t, func(_ context.Context, cause error) (int, error) {
				if c.mode == breaker.ModeAuto && !errors.Is(cause, c.err) {
					t.Errorf("cause %v, want %v", cause, c.err)
				}
				return 2, c.second
			})
			v, err := f.Do(t.Context(), b, func(context.Context) (int, error) {
				if c.err != nil {
					return 0, c.err
				}
				return 1, nil
			})
			if (err != nil) != (len(c.wants) > 0) || v != c.value {
				t.Errorf("got %d, %v; want %d", v, err, c.value)
			}
			for _, want := range c.wants {
				if !errors.Is(err, want) {
					t.Errorf("error %v does not match %v", err, want)
				}
			}
			if c.mode == breaker.ModeOpen && err != nil {
				if _, is := errors.AsType[*breaker.RejectedError](err); !is {
					t.Errorf("error %v has no RejectedError", err)
				}
			}
			if got := f.Counts(); got != c.counts {
				t.Errorf("counts %+v, want %+v", got, c.counts)
			}
		})
	}
}

func TestFallbackNotForCallersWhoLeft(t *testing.T) {
	for name, mode := range map[string]breaker.Mode{"failed": breaker.ModeAuto, "refused": breaker.ModeOpen} {
		t.Run(name, func(t *testing.T) {
			b := mustNew(t)
			b.Force(mode)
			f := newFallback(t, func(context.Context, error) (int, error) { t.Error("fallback ran"); return 2, nil })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := f.Do(ctx, b, func(context.Context) (int, error) { return 0, breaker.AttemptTimeout(errDown) }); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestFallbackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5
		b := mustNew(t)
		b.Force(breaker.ModeOpen)
		now, most := 0, 0
		var mu sync.Mutex
		count := func(by int) { mu.Lock(); defer mu.Unlock(); now += by; most = max(most, now) }
		f := newFallback(t, func(ctx context.Context, _ error) (int, error) {
			count(1)
			defer count(-1)
			<-ctx.Done()
			return 0, ctx.Err()
		}, breaker.WithFallbackLimit(limit), breaker.WithFallbackTimeout(100*time.Millisecond))
		began := time.Now()
		busy := 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				_, err := f.Do(t.Context(), b, ok)
				if !errors.Is(err, breaker.ErrOpen) {
					t.Errorf("error %v does not match ErrOpen", err)
				}
				if errors.Is(err, breaker.ErrFallbackBusy) {
					mu.Lock()
					busy++
					mu.Unlock()
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want deadline exceeded", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("took %v, want 100 ms", took)
		}
		if most != limit || busy != 50-limit {
			t.Errorf("%d at once and %d refused, want %d and %d", most, busy, limit, 50-limit)
		}
		if want := (breaker.FallbackCounts{Used: limit, Failed: limit, Refused: 50 - limit}); f.Counts() != want {
			t.Errorf("counts %+v, want %+v", f.Counts(), want)
		}
	})
}

func TestFallbackGivesItsPlaceBack(t *testing.T) {
	b := mustNew(t)
	b.Force(breaker.ModeOpen)
	var end func()
	f := newFallback(t, func(context.Context, error) (int, error) { end(); return 2, nil }, breaker.WithFallbackLimit(1))
	for _, end = range []func(){func() { panic("boom") }, runtime.Goexit} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			_, _ = f.Do(context.Background(), b, ok)
		}()
		<-done
	}
	end = func() {}
	if v, err := f.Do(t.Context(), b, ok); v != 2 || err != nil {
		t.Errorf("got %d, %v; want 2", v, err)
	}
	if want := (breaker.FallbackCounts{Used: 3, Failed: 2}); f.Counts() != want {
		t.Errorf("counts %+v, want %+v", f.Counts(), want)
	}
}

func TestNewFallback(t *testing.T) {
	_, err := breaker.NewFallback[int](nil, breaker.WithFallbackLimit(0), breaker.WithFallbackTimeout(-1))
	if len(parts(err)) != 3 {
		t.Errorf("got %v, want three errors joined", err)
	}
}

func TestFallbackPanicInTheCallGoesOn(t *testing.T) {
	b := mustNew(t)
	f := newFallback(t, func(context.Context, error) (int, error) { t.Error("fallback ran"); return 2, nil })
	defer func() {
		if v := recover(); fmt.Sprint(v) != "boom" {
			t.Errorf("recovered %v, want boom", v)
		}
	}()
	_, _ = f.Do(t.Context(), b, func(context.Context) (int, error) { panic("boom") })
}

// Who is turned away by a busy dependency gets the second answer too.
func TestFallbackWhenBusy(t *testing.T) {
	f := newFallback(t, func(context.Context, error) (int, error) { return 2, nil })
	b := mustNew(t, breaker.WithClassifier(judgeBusy))
	v, err := f.Do(t.Context(), b, func(context.Context) (int, error) { return 0, errBusy })
	if v != 2 || err != nil {
		t.Errorf("got %d, %v, want the fallback's 2", v, err)
	}
}
