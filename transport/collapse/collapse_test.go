package collapse_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/collapse"
)

// store looks up numbers: the value of n is 10*n, odd ones past 100 fail, and
// there is none past 200.
type store struct {
	took time.Duration // for a batch

	mu      sync.Mutex
	batches [][]int
	running int
	most    int // batches at once
	ended   int // whose context ended
}

func (s *store) fetch(ctx context.Context, keys []int) (map[int]collapse.Result[int], error) {
	s.begin(keys)
	defer s.end()
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		s.mu.Lock()
		s.ended++
		s.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	out := map[int]collapse.Result[int]{}
	for _, k := range keys {
		switch {
		case k > 200:
		case k > 100 && k%2 == 1:
			out[k] = collapse.Result[int]{Err: oddError(k)}
		default:
			out[k] = collapse.Result[int]{Value: 10 * k}
		}
	}
	return out, nil
}

func (s *store) begin(keys []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, slices.Sorted(slices.Values(keys))) // callers come in any order
	s.running++
	s.most = max(s.most, s.running)
}

func (s *store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

type oddError int

func (e oddError) Error() string { return fmt.Sprintf("%d is odd", int(e)) }

func open(t testing.TB, s *store, settings collapse.Settings) *collapse.Collapser[int, int] {
	t.Helper()
	c, err := collapse.New(s.fetch, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOneBatchOfManyLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{took: 10 * time.Millisecond}
		c := open(t, s, collapse.Settings{})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if v, err := c.Do(t.Context(), i%25); v != i%25*10 || err != nil {
					t.Errorf("%d: got %d, %v", i%25, v, err)
				}
			})
		}
		wg.Wait()
		if len(s.batches) != 1 || len(s.batches[0]) != 25 {
			t.Errorf("batches %v, want one of 25 keys", s.batches)
		}
		if got := time.Since(start); got != 12*time.Millisecond {
			t.Errorf("took %v, want the window and the batch, 12ms", got)
		}
	})
}

func TestEachItsOwnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &store{}, collapse.Settings{})
		errs := map[int]error{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, k := range []int{1, 101, 201} {
			wg.Go(func() {
				_, err := c.Do(t.Context(), k)
				mu.Lock()
				defer mu.Unlock()
				errs[k] = err
			})
		}
		wg.Wait()
		if errs[1] != nil {
			t.Errorf("1: %v", errs[1])
		}
		if !errors.Is(errs[101], oddError(101)) {
			t.Errorf("101: %v", errs[101])
		}
		missing, ok := errors.AsType[*collapse.MissingError](errs[201])
		if !ok || missing.Key != 201 || !errors.Is(errs[201], collapse.ErrMissing) {
			t.Errorf("201: %v", errs[201])
		}
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		c := open(t, s, collapse.Settings{Window: time.Hour, Max: 3})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() { c.Do(t.Context(), i) })
		}
		wg.Wait()
		if len(s.batches) != 2 || time.Since(start) != 0 {
			t.Errorf("batches %v after %v, want two at once", s.batches, time.Since(start))
		}
	})
}

func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{took: time.Second}
		c := open(t, s, collapse.Settings{Window: 10 * time.Millisecond, MaxInFlight: 1})
		do := func(d time.Duration, key int) chan error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			got := make(chan error, 1)
			go func() {
				_, err := c.Do(ctx, key)
				got <- err
			}()
			return got
		}
		early, late := do(5*time.Millisecond, 1), do(time.Minute, 2) // 1 leaves in the window
		if err := <-early; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who left got %v", err)
		}
		time.Sleep(20 * time.Millisecond)
		queued := do(100*time.Millisecond, 3) // leaves while it waits for a place
		<-queued
		if err := <-late; err != nil {
			t.Errorf("who stayed got %v", err)
		}
		first := do(300*time.Millisecond, 4)
		synctest.Wait() // it comes before the second
		both := []chan error{first, do(500*time.Millisecond, 5)}
		start := time.Now()
		<-both[0]
		<-both[1]
		synctest.Wait()
		if s.ended != 1 || time.Since(start) != 500*time.Millisecond {
			t.Errorf("%d batches ended by %v, want the one that all have left, at 500ms", s.ended, time.Since(start))
		}
		if want := "[[2] [4 5]]"; fmt.Sprint(s.batches) != want {
			t.Errorf("batches %v, want %s", s.batches, want)
		}
	})
}

func TestTheDeadlineIsTheLatest(t *testing.T) {
	for name, c := range map[string]struct {
		callers []time.Duration // zero for none
		want    time.Duration   // zero for none
	}{
		"of two":       {[]time.Duration{time.Second, 3 * time.Second, 2 * time.Second}, 3 * time.Second},
		"one has none": {[]time.Duration{time.Second, 0}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var got time.Duration
				cl, err := collapse.New(func(ctx context.Context, _ []int) (map[int]collapse.Result[int], error) {
					if d, ok := ctx.Deadline(); ok {
						got = d.Sub(start)
					}
					return nil, nil
				}, collapse.Settings{})
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				var wg sync.WaitGroup
				for i, d := range c.callers {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if d > 0 {
						ctx, cancel = context.WithTimeout(ctx, d)
					}
					defer cancel()
					wg.Go(func() { cl.Do(ctx, i) })
				}
				wg.Wait()
				if got != c.want {
					t.Errorf("deadline after %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestFailuresOfTheBatch(t *testing.T) {
	down := errors.New("down")
	type batch = collapse.Batch[int, int]
	for name, c := range map[string]struct {
		fetch batch
		check func(error) bool
	}{
		"error": {
			func(context.Context, []int) (map[int]collapse.Result[int], error) { return nil, down },
			func(err error) bool { return errors.Is(err, down) && strings.Contains(err.Error(), "batch of 2") },
		},
		"panic": {
			func(context.Context, []int) (map[int]collapse.Result[int], error) { panic(down) },
			func(err error) bool {
				p, ok := errors.AsType[*collapse.PanicError](err)
				return ok && errors.Is(err, down) && strings.Contains(string(p.Stack), "collapse_test")
			},
		},
		"end": {
			func(context.Context, []int) (map[int]collapse.Result[int], error) { runtime.Goexit(); return nil, nil },
			func(err error) bool { return err != nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, err := collapse.New(c.fetch, collapse.Settings{MaxInFlight: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				var wg sync.WaitGroup
				for i := range 2 {
					wg.Go(func() {
						if _, err := cl.Do(t.Context(), i); !c.check(err) {
							t.Errorf("got %v", err)
						}
					})
				}
				wg.Wait()
				if _, err := cl.Do(t.Context(), 3); err == nil { // its place was given back
					t.Error("want the error again")
				}
			})
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{took: time.Hour}
		c := open(t, s, collapse.Settings{Max: 1, MaxInFlight: 1})
		gathers := open(t, s, collapse.Settings{Window: time.Hour})
		errs := make(chan error, 3)
		for i := range 2 { // one runs, one waits for a place
			go func() {
				_, err := c.Do(t.Context(), i)
				errs <- err
			}()
		}
		go func() {
			_, err := gathers.Do(t.Context(), 2)
			errs <- err
		}()
		synctest.Wait()
		for range 2 {
			c.Close()
			gathers.Close()
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, collapse.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := c.Do(t.Context(), 1); !errors.Is(err, collapse.ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestSettings(t *testing.T) {
	err := collapse.Settings{Window: -1, Max: -1, MaxInFlight: -1}.Validate()
	for _, want := range []string{"Window", "Max is", "MaxInFlight"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, err := collapse.New[int, int](nil, collapse.Settings{}); err == nil {
		t.Error("a nil batch function is accepted")
	}
}

// Whatever callers come and go when: each gets exactly its own result, no key is
// asked for twice in a batch, and batches keep to their bounds.
func TestEveryoneGetsTheirOwn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		settings := collapse.Settings{
			Window:      time.Duration(rapid.IntRange(1, 5).Draw(rt, "window")) * time.Millisecond,
			Max:         rapid.IntRange(1, 5).Draw(rt, "max"),
			MaxInFlight: rapid.IntRange(1, 3).Draw(rt, "in flight"),
		}
		type caller struct{ key, after, patience int }
		callers := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) caller {
			return caller{
				rapid.SampledFrom([]int{1, 2, 3, 4, 5, 6, 101, 103, 201}).Draw(rt, "key"),
				rapid.IntRange(0, 20).Draw(rt, "after"), rapid.IntRange(1, 60).Draw(rt, "patience"),
			}
		}), 1, 40).Draw(rt, "callers")
		took := time.Duration(rapid.IntRange(0, 10).Draw(rt, "took")) * time.Millisecond
		synctest.Test(t, func(*testing.T) {
			s := &store{took: took}
			c := open(rt2tb{t, rt}, s, settings)
			var wg sync.WaitGroup
			for _, who := range callers {
				wg.Go(func() {
					time.Sleep(time.Duration(who.after) * time.Millisecond)
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(who.patience)*time.Millisecond)
					defer cancel()
					v, err := c.Do(ctx, who.key)
					if !own(who.key, v, err) {
						rt.Errorf("%d: got %d, %v", who.key, v, err)
					}
				})
			}
			wg.Wait()
			c.Close() // no batch runs any more
			for _, b := range s.batches {
				if d := slices.Compact(slices.Sorted(slices.Values(b))); len(d) != len(b) || len(b) > settings.Max || len(b) == 0 {
					rt.Errorf("batch %v of at most %d keys", b, settings.Max)
				}
			}
			if s.most > settings.MaxInFlight {
				rt.Errorf("%d batches at once, want at most %d", s.most, settings.MaxInFlight)
			}
		})
	})
}

// rt2tb is the bubble's test with rapid's failures.
type rt2tb struct {
	testing.TB
	rt *rapid.T
}

func (r rt2tb) Fatal(args ...any) { r.rt.Fatal(args...) }
func (rt2tb) Cleanup(func())      {}

// own reports whether v and err are what a caller for key may get.
func own(key, v int, err error) bool {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return true
	case key > 200:
		return errors.Is(err, collapse.ErrMissing)
	case key > 100:
		return errors.Is(err, oddError(key))
	default:
		return err == nil && v == 10*key
	}
}

func BenchmarkDo(b *testing.B) {
	s, err := collapse.New(func(_ context.Context, keys []int) (map[int]collapse.Result[int], error) {
		out := make(map[int]collapse.Result[int], len(keys))
		for _, k := range keys {
			out[k] = collapse.Result[int]{Value: k}
		}
		return out, nil
	}, collapse.Settings{Max: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Do(context.Background(), i%1000); err != nil {
				b.Error(err)
			}
		}
	})
}
