package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/random"
)

// steady has no chance in it: no jitter, no ramp.
var steady = breaker.Settings{Jitter: -1, Ramp: -1}

func with(s breaker.Settings, change func(*breaker.Settings)) breaker.Option {
	change(&s)
	return breaker.WithSettings(s)
}

// call makes one call through b that ends with err.
func call(t *testing.T, b *breaker.Breaker, err error) error {
	t.Helper()
	_, got := breaker.Do(t.Context(), b, func(context.Context) (int, error) { return 0, err })
	return got
}

// trip opens b by failures in a row.
func trip(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range 1000 {
		if b.State() == breaker.Open {
			return
		}
		_ = call(t, b, errDown)
	}
	t.Fatalf("state %v after 1000 failures, want open", b.State())
}

func wantState(t *testing.T, b *breaker.Breaker, want breaker.State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("state %v, want %v", got, want)
	}
}

func allow(t *testing.T, b *breaker.Breaker) breaker.Permit {
	t.Helper()
	p, err := b.Allow(t.Context())
	if err != nil {
		t.Fatalf("Allow: %v", err)
	}
	return p
}

// A step waits, makes n calls (one if n is 0, none if negative) that end with
// err, and looks at the state.
type step struct {
	wait time.Duration
	n    int
	err  error
	want breaker.State
}

func TestStates(t *testing.T) {
	const (
		closed, half, open = breaker.Closed, breaker.HalfOpen, breaker.Open
		s                  = time.Second
	)
	row := func(n int) breaker.Settings {
		return settings(steady, func(st *breaker.Settings) { st.Consecutive = n })
	}
	for name, c := range map[string]struct {
		settings breaker.Settings
		steps    []step
	}{
		"nine in a row hold": {steady, []step{{0, 9, errDown, closed}, {0, 1, nil, closed}, {0, 9, errDown, closed}}},
		"ten in a row open":  {steady, []step{{0, 9, errDown, closed}, {0, 1, errDown, open}}},
		"ten in a row open however slowly": {steady, []step{
			{0, 1, errDown, closed}, {30 * s, 8, errDown, closed}, {30 * s, 1, errDown, open},
		}},
		"half of twenty open":   {row(-1), []step{{0, 10, nil, closed}, {0, 9, errDown, closed}, {0, 1, errDown, open}}},
		"half of nineteen hold": {row(-1), []step{{0, 9, nil, closed}, {0, 10, errDown, closed}}},
		"a third holds":         {row(-1), []step{{0, 40, nil, closed}, {0, 20, errDown, closed}}},
		"failures leave the window": {row(-1), []step{
			{0, 19, errDown, closed}, {11 * s, 1, errDown, closed},
		}},
		"window moves by buckets": {row(-1), []step{
			{0, 10, errDown, closed}, {5 * s, 9, errDown, closed}, {6 * s, 1, errDown, closed}, {0, 10, errDown, open},
		}},
		"cancellation holds":    {steady, []step{{0, 100, context.Canceled, closed}, {0, 100, fmt.Errorf("get: %w", context.Canceled), closed}}},
		"attempt timeout opens": {steady, []step{{0, 10, fmt.Errorf("get: %w", context.DeadlineExceeded), open}}},
		"cancellation does not break a row": {steady, []step{
			{0, 9, errDown, closed}, {0, 5, context.Canceled, closed}, {0, 1, errDown, open},
		}},
		"period holds":              {steady, []step{{0, 10, errDown, open}, {s - 1, 1, nil, open}}},
		"half-open with no traffic": {steady, []step{{0, 10, errDown, open}, {s, -1, nil, half}}},
		"three probes close": {steady, []step{
			{0, 10, errDown, open}, {s, 1, nil, half}, {0, 1, nil, half}, {0, 1, nil, closed},
		}},
		"bad probe opens": {steady, []step{
			{0, 10, errDown, open}, {s, 2, nil, half}, {0, 1, errDown, open},
		}},
		"ignored probes decide nothing": {steady, []step{
			{0, 10, errDown, open}, {s, 1000, context.Canceled, half}, {0, 3, nil, closed},
		}},
		"period doubles up to the most": {steady, []step{
			{0, 10, errDown, open},
			{1 * s, 1, errDown, open}, {2*s - 1, -1, nil, open},
			{1, 1, errDown, open}, {4*s - 1, -1, nil, open},
			{1, 1, errDown, open}, {8*s - 1, -1, nil, open},
			{1, 1, errDown, open}, {10*s - 1, -1, nil, open},
			{1, 1, errDown, open}, {10*s - 1, -1, nil, open}, {1, -1, nil, half},
		}},
		"period goes on growing after a short recovery": {steady, []step{
			{0, 10, errDown, open}, {s, 3, nil, closed}, {9 * s, 10, errDown, open}, {2*s - 1, -1, nil, open}, {1, -1, nil, half},
		}},
		"period starts again after a healthy window": {steady, []step{
			{0, 10, errDown, open}, {s, 3, nil, closed}, {10 * s, 10, errDown, open}, {s, -1, nil, half},
		}},
		"closing empties the window": {steady, []step{
			{0, 10, errDown, open}, {s, 3, nil, closed}, {0, 9, errDown, closed}, {0, 1, errDown, open},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mustNew(t, breaker.WithSettings(c.settings))
				for i, st := range c.steps {
					time.Sleep(st.wait)
					for range max(st.n, 1) {
						if st.n >= 0 {
							_ = call(t, b, st.err)
						}
					}
					if got := b.State(); got != st.want {
						t.Fatalf("step %d: state %v, want %v", i, got, st.want)
					}
				}
			})
		})
	}
}

func settings(s breaker.Settings, change func(*breaker.Settings)) breaker.Settings {
	change(&s)
	return s
}

func TestNew(t *testing.T) {
	_, err := breaker.New("", breaker.WithSettings(breaker.Settings{FailureRatio: 2, Probes: -1}), breaker.WithSubscriber(nil))
	if err == nil {
		t.Fatal("no error for bad settings")
	}
	for _, want := range []string{"name", "failure_ratio", "probes", "subscriber"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not mention %s", err, want)
		}
	}
}

// parts returns what [errors.Join] joined.
func parts(err error) []error {
	joined, is := err.(interface{ Unwrap() []error })
	if !is {
		return nil
	}
	return joined.Unwrap()
}

func TestRejectedError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady))
		trip(t, b)
		time.Sleep(300 * time.Millisecond)
		err := call(t, b, nil)
		rejected, is := errors.AsType[*breaker.RejectedError](err)
		if !is || !errors.Is(err, breaker.ErrOpen) {
			t.Fatalf("got %v, want a RejectedError that matches ErrOpen", err)
		}
		want := breaker.RejectedError{Name: "stock", State: breaker.Open, RetryAfter: 700 * time.Millisecond}
		if *rejected != want {
			t.Errorf("got %+v, want %+v", *rejected, want)
		}
		if got := b.Counts().Rejected; got != 1 {
			t.Errorf("rejected %d, want 1", got)
		}
	})
}

// A probe that never reports must not keep a healthy dependency out: within
// twice the lease a call passes.
func TestLease(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, b *breaker.Breaker, end <-chan struct{}){
		"hang": func(t *testing.T, b *breaker.Breaker, end <-chan struct{}) {
			go func() {
				_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { <-end; return 0, nil })
			}()
			synctest.Wait()
		},
		"lost permit": func(t *testing.T, b *breaker.Breaker, _ <-chan struct{}) { allow(t, b) },
	} {
		for _, level := range []int{0, 5} {
			t.Run(fmt.Sprintf("%s after %d bad probes", name, level), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const lease = 200 * time.Millisecond
					b := mustNew(t, breaker.WithSettings(breaker.Settings{Ramp: -1, Lease: lease}))
					trip(t, b)
					for range level {
						waitHalfOpen(t, b)
						_ = call(t, b, errDown)
					}
					waitHalfOpen(t, b)
					end := make(chan struct{})
					lose(t, b, end)

					err := call(t, b, nil)
					r, is := errors.AsType[*breaker.RejectedError](err)
					if !is || r.State != breaker.HalfOpen || r.RetryAfter != lease {
						t.Fatalf("beside a probe: got %+v, want half-open for %v", err, lease)
					}
					time.Sleep(lease + 1)
					wantState(t, b, breaker.Open) // the probe counts as failed
					time.Sleep(lease - 1)
					for i := range 3 {
						if err := call(t, b, nil); err != nil {
							t.Fatalf("healthy call %d after two leases: %v", i, err)
						}
					}
					wantState(t, b, breaker.Closed)
					close(end)
					synctest.Wait()
					wantState(t, b, breaker.Closed) // its late result changes nothing
				})
			})
		}
	}
}

func waitHalfOpen(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range 100_000 {
		if b.State() == breaker.HalfOpen {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("never half-open")
}

func TestProbeAtTheEndOfItsLeaseCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.Probes = 1 }))
		trip(t, b)
		time.Sleep(time.Second)
		p := allow(t, b)
		time.Sleep(2 * time.Second)
		if !p.Done(nil) {
			t.Error("not counted")
		}
		wantState(t, b, breaker.Closed)
	})
}

// A process that was stopped for an hour finds the right state at the next look.
func TestStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t}
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithSubscriber(r.take))
		trip(t, b)
		b.StopTimer()
		time.Sleep(time.Hour)
		p := allow(t, b)
		b.StopTimer()
		time.Sleep(time.Hour)
		if p.Done(nil) { // the lease is noticed only now
			t.Error("a result after the lease counted")
		}
		wantState(t, b, breaker.Open)
		time.Sleep(time.Microsecond)
		synctest.Wait()
		if got, want := r.walk(), "open half-open open half-open"; got != want { // the period was over long ago
			t.Errorf("events %q, want %q", got, want)
		}
		recovers(t, b)
	})
}

// A probe that panics or ends its goroutine is a failure and frees its place.
func TestAbortedProbe(t *testing.T) {
	for name, abort := range map[string]func(){
		"panic":  func() { panic("boom") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mustNew(t, breaker.WithSettings(steady))
				trip(t, b)
				time.Sleep(time.Second)
				go func() {
					defer func() { _ = recover() }()
					_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { abort(); return 0, nil })
				}()
				synctest.Wait()
				wantState(t, b, breaker.Open)
				time.Sleep(2 * time.Second)
				if err := call(t, b, nil); err != nil {
					t.Errorf("next probe: %v", err)
				}
			})
		})
	}
}

func TestPanicValueIsPreserved(t *testing.T) {
	b := mustNew(t, with(steady, func(s *breaker.Settings) { s.Consecutive = 1 }))
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the very value
				t.Errorf("recovered %v, want http.ErrAbortHandler", v)
			}
		}()
		_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { panic(http.ErrAbortHandler) })
	}()
	wantState(t, b, breaker.Open)
}

func TestDoneCountsOnce(t *testing.T) {
	b := mustNew(t)
	p := allow(t, b)
	again := p
	if !p.Done(errDown) {
		t.Error("first Done: not counted")
	}
	other := allow(t, b) // may use the same ticket again
	for range 5 {
		if again.Done(errDown) {
			t.Error("Done of a copy: counted again")
		}
	}
	if got := b.Counts().Failures; got != 1 {
		t.Errorf("%d failures, want 1", got)
	}
	if !other.Done(nil) {
		t.Error("Done of another permit: not counted")
	}
	if (breaker.Permit{}).Done(errDown) {
		t.Error("Done of the zero permit: counted")
	}
}

func TestDoneCountsOnceConcurrently(t *testing.T) {
	b := mustNew(t, breaker.WithSettings(breaker.Settings{Consecutive: -1, FailureRatio: 1}))
	var counted atomic.Int64
	for range 200 {
		p := allow(t, b)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if p.Done(nil) {
					counted.Add(1)
				}
			})
		}
		wg.Wait()
	}
	if got := b.Counts().Successes; counted.Load() != 200 || got != 200 {
		t.Errorf("%d reported, %d counted, want 200 of each", counted.Load(), got)
	}
}

// Late results never move a newer state, see sony/gobreaker#122.
func TestLateResults(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		move func(t *testing.T, b *breaker.Breaker)
		want breaker.State
	}{
		"failure after reopening":        {errDown, func(t *testing.T, b *breaker.Breaker) { trip(t, b); time.Sleep(time.Second); _ = call(t, b, nil) }, breaker.HalfOpen},
		"success after opening":          {nil, func(t *testing.T, b *breaker.Breaker) { trip(t, b); time.Sleep(time.Second) }, breaker.HalfOpen},
		"failure while open":             {errDown, trip, breaker.Open},
		"failure after closing":          {errDown, func(t *testing.T, b *breaker.Breaker) { trip(t, b); time.Sleep(time.Second); recovers(t, b) }, breaker.Closed},
		"failure after a change of mode": {errDown, func(_ *testing.T, b *breaker.Breaker) { b.Force(breaker.ModeOpen); b.Force(breaker.ModeAuto) }, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mustNew(t, breaker.WithSettings(steady))
				var late []breaker.Permit
				for range 20 {
					late = append(late, allow(t, b))
				}
				c.move(t, b)
				before := b.Counts()
				for _, p := range late {
					if p.Done(c.err) {
						t.Error("a late result was counted")
					}
				}
				if got := b.Counts(); got != before {
					t.Errorf("counts %+v, want %+v", got, before)
				}
				wantState(t, b, c.want)
			})
		})
	}
}

func recovers(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range 3 {
		if err := call(t, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, b, breaker.Closed)
}

// crowd lets so many callers at b at once, each of which takes 10 ms and brings
// err, and returns how many passed. most is raised to how many were inside.
func crowd(t *testing.T, b *breaker.Breaker, callers int, err error, most *atomic.Int64) int {
	t.Helper()
	var inside, passed atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(10 * time.Millisecond)
				inside.Add(-1)
				passed.Add(1)
				return 0, err
			})
		})
	}
	wg.Wait()
	return int(passed.Load())
}

// 10,000 callers on a breaker that may probe again: one probe at a time, then a
// ramp from a tenth to all, which takes its time if nothing comes back that says
// how the dependency bears it.
func TestNoStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t)
		trip(t, b)
		time.Sleep(1200 * time.Millisecond)
		var most atomic.Int64
		for i := range 3 {
			if got := crowd(t, b, 10_000, nil, &most); got != 1 || most.Load() != 1 {
				t.Fatalf("probe %d: %d callers passed, %d at once, want 1", i, got, most.Load())
			}
		}
		wantState(t, b, breaker.Closed)
		began := time.Now()
		for share := 0.1; share < 1; share += 0.09 { // one step each half second
			if got := crowd(t, b, 10_000, context.Canceled, &most); float64(got) > 10_000*share*1.15 || float64(got) < 10_000*share*0.85 {
				t.Errorf("%v after closing %d of 10000 passed, want about %.0f", time.Since(began), got, 10_000*share)
			}
			time.Sleep(490 * time.Millisecond)
		}
		if got := crowd(t, b, 10_000, nil, &most); got != 10_000 {
			t.Errorf("after the ramp %d of 10000 passed", got)
		}
	})
}

// While calls come back and succeed the ramp goes four times as fast, still
// without a step. Failures hold it up, and a single success is no licence.
func TestRampByEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		every    time.Duration
		failures int           // one call in so many
		took     time.Duration // the ramp, about
	}{
		"all well":            {10 * time.Millisecond, 0, 1250 * time.Millisecond},
		"a few failures":      {10 * time.Millisecond, 10, 1350 * time.Millisecond},
		"failures enough":     {10 * time.Millisecond, 3, 1670 * time.Millisecond},
		"a call now and then": {2 * time.Second, 0, 4250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mustNew(t)
				trip(t, b)
				time.Sleep(1200 * time.Millisecond)
				recovers(t, b)
				began := time.Now()
				full, n, last := time.Duration(0), 0, 0.1
				for since := time.Duration(0); since < 6*time.Second && (full == 0 || since < full+full/4); since = time.Since(began) {
					time.Sleep(c.every)
					passed := 0
					for range 1000 { // all ask, one that passes says how it went
						if p, err := b.Allow(t.Context()); err == nil {
							if passed++; passed > 1 {
								p.Done(context.Canceled)
								continue
							}
							n++
							if c.failures > 0 && n%c.failures == 0 {
								p.Done(errDown)
							} else {
								p.Done(nil)
							}
						}
					}
					share := float64(passed) / 1000
					if step := share - last; step > 0.1 && c.every < time.Second {
						t.Fatalf("after %v from %v to %v at once", time.Since(began), last, share)
					}
					if last = share; passed == 1000 && full == 0 {
						full = time.Since(began)
					}
				}
				wantState(t, b, breaker.Closed)
				if full < c.took-c.took/10 || full > c.took+c.took/10+c.every {
					t.Errorf("all passed after %v, want about %v", full, c.took)
				}
			})
		})
	}
}

// A dependency that turns most calls away, in however long rows, keeps its
// circuit while it serves others: it would do less without them. One that turns
// away all for a whole window has lost it, until it serves a probe.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithClassifier(judgeBusy))
		for range 30 {
			for range 999 {
				_ = call(t, b, errBusy)
				time.Sleep(time.Millisecond)
			}
			_ = call(t, b, nil)
		}
		wantState(t, b, breaker.Closed)
		if c := b.Counts(); c.Failures != 0 || c.Successes == 0 || c.Rejected != 0 {
			t.Errorf("counts %+v", c)
		}

		began := time.Now()
		for b.State() == breaker.Closed {
			_ = call(t, b, errBusy)
			time.Sleep(100 * time.Millisecond)
			if time.Since(began) > time.Minute {
				t.Fatal("closed after a minute in which it served nobody")
			}
		}
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("opened after %v, want the window", d)
		}
		time.Sleep(time.Second)
		_ = call(t, b, errBusy) // the probe
		wantState(t, b, breaker.Open)
		time.Sleep(2 * time.Second)
		recovers(t, b)
	})
}

// Few calls are no proof, however long they are all that came.
func TestBusyNeedsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithClassifier(judgeBusy))
		for i := range 20 {
			wantState(t, b, breaker.Closed)
			_ = call(t, b, errBusy)
			if i < 19 {
				time.Sleep(time.Minute)
			}
		}
		wantState(t, b, breaker.Open)
	})
}

// A circuit that failures have opened closes again when its probes find the
// dependency at work, be it too much.
func TestBusyProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithClassifier(judgeBusy))
		trip(t, b)
		time.Sleep(time.Second)
		for range 3 {
			wantState(t, b, breaker.HalfOpen)
			_ = call(t, b, errBusy)
		}
		wantState(t, b, breaker.Closed)
	})
}

func TestRampRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(breaker.Settings{Jitter: -1}))
		trip(t, b)
		time.Sleep(time.Second)
		recovers(t, b)
		for range 10_000 {
			err := call(t, b, nil)
			if err == nil {
				continue
			}
			r, _ := errors.AsType[*breaker.RejectedError](err)
			if r == nil || r.State != breaker.Closed || r.RetryAfter <= 0 || r.RetryAfter > 500*time.Millisecond {
				t.Fatalf("got %+v, want a short refusal by a closed circuit", err)
			}
			return
		}
		t.Error("the ramp refused nobody")
	})
}

// Who is told that the dependency may be back probes within a second, where it
// would have waited for ten. Of many that are told at once no tenth of the
// second has too many.
func TestProbeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const breakers, tick = 1000, 10 * time.Millisecond
		all := make([]*breaker.Breaker, breakers)
		for i := range all {
			all[i] = mustNew(t, breaker.WithSettings(breaker.Settings{OpenFor: time.Second, Jitter: -1}))
			all[i].ProbeSoon() // nothing to probe
			trip(t, all[i])
		}
		for _, open := range []time.Duration{1, 2, 4, 8} { // failed probes
			time.Sleep(open * time.Second)
			for _, b := range all {
				_ = call(t, b, errDown)
			}
		}
		for _, b := range all {
			wantState(t, b, breaker.Open)
			b.ProbeSoon()
		}
		probed := make([]bool, breakers)
		most, sum := 0, 0
		for range 10 { // tenths of a second
			n := 0
			for range 10 {
				time.Sleep(tick)
				for i, b := range all {
					if !probed[i] && errors.Is(call(t, b, errDown), errDown) {
						probed[i] = true
						n++
						b.ProbeSoon()
					}
				}
			}
			most, sum = max(most, n), sum+n
		}
		if most > breakers/5 || sum != breakers {
			t.Errorf("%d of %d probed within a second, %d of them in a tenth of it", sum, breakers, most)
		}
	})
}

// An open period is cut short once, however often the news comes, and the next
// one is as long as it would have been.
func TestProbeSoonCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(breaker.Settings{OpenFor: time.Minute, MaxOpenFor: time.Hour, Jitter: -1}),
			breaker.WithRand(random.New(1)))
		trip(t, b)
		b.ProbeSoon()
		_, err := b.Allow(t.Context())
		first, _ := errors.AsType[*breaker.RejectedError](err)
		for range 1000 {
			b.ProbeSoon()
		}
		_, err = b.Allow(t.Context())
		again, _ := errors.AsType[*breaker.RejectedError](err)
		if first == nil || again == nil || first.RetryAfter >= time.Minute || first.RetryAfter != again.RetryAfter {
			t.Fatalf("%+v, then %+v", first, again)
		}
		time.Sleep(first.RetryAfter)
		b.ProbeSoon() // half-open: it has its way
		_ = call(t, b, errDown)
		time.Sleep(2*time.Minute - 1)
		wantState(t, b, breaker.Open)
		time.Sleep(time.Nanosecond)
		wantState(t, b, breaker.HalfOpen)
	})
}

// 1000 breakers that open together do not probe together. By default they do so
// evenly over plus and minus 20 % of the period, which is four tenths of it: one
// tenth holds a quarter of the first probes. That it holds less than a fifth
// takes more jitter; 40 % bring it to an eighth. Beside that are three standard
// deviations of chance, and what choosing the fullest tenth adds.
func TestProbesAreSpread(t *testing.T) {
	for _, c := range []struct{ jitter, least, most float64 }{{0, 0.25, 0.3}, {0.4, 0.125, 0.17}} {
		t.Run(fmt.Sprint(c.jitter), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const breakers, tick = 1000, 10 * time.Millisecond
				all := make([]*breaker.Breaker, breakers)
				for i := range all {
					all[i] = mustNew(t, breaker.WithSettings(breaker.Settings{Jitter: c.jitter}),
						breaker.WithRand(random.New(uint64(i))))
					trip(t, all[i])
				}
				var probes [200]int // by tick
				for at := range probes {
					for i, b := range all {
						if b == nil {
							continue
						}
						if p, err := b.Allow(t.Context()); err == nil {
							probes[at]++
							p.Done(errDown)
							all[i] = nil
						}
					}
					time.Sleep(tick)
				}
				total, most := 0, 0
				for at := range probes {
					total += probes[at]
					tenth := 0
					for _, n := range probes[at:min(at+10, len(probes))] {
						tenth += n
					}
					most = max(most, tenth)
				}
				if total != breakers {
					t.Errorf("%d of %d probed within two periods", total, breakers)
				}
				if share := float64(most) / breakers; share < c.least || share > c.most {
					t.Errorf("a tenth of the period held %.1f %% of the probes, want %.1f %% to %.1f %%", share*100, c.least*100, c.most*100)
				}
			})
		})
	}
}

func TestJitterRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lo, hi := time.Hour, time.Duration(0)
		for range 1000 {
			b := mustNew(t)
			trip(t, b)
			r, _ := errors.AsType[*breaker.RejectedError](call(t, b, nil))
			lo, hi = min(lo, r.RetryAfter), max(hi, r.RetryAfter)
		}
		if lo < 800*time.Millisecond || lo > 820*time.Millisecond || hi > 1200*time.Millisecond || hi < 1180*time.Millisecond {
			t.Errorf("open periods from %v to %v, want 0.8 s to 1.2 s", lo, hi)
		}
	})
}

// 1000 calls to a black hole with an attempt timeout of 1 s, 64 at once: no more
// get through than were under way and the minimum volume.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const atOnce, minCalls = 64, 20
		b := mustNew(t, breaker.WithSettings(breaker.Settings{Consecutive: -1}))
		places := make(chan struct{}, atOnce)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				_, _ = breaker.Do(t.Context(), b, func(ctx context.Context) (int, error) {
					admitted.Add(1)
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					<-ctx.Done()
					return 0, fmt.Errorf("get: %w", ctx.Err())
				})
			})
		}
		wg.Wait()
		if got := admitted.Load(); got > atOnce+minCalls {
			t.Errorf("%d calls admitted, want at most %d", got, atOnce+minCalls)
		}
	})
}

// With HangAfter, calls that never end open the circuit all the same.
func TestHangAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.HangAfter = time.Second; s.Consecutive = -1 }))
		var hanging []breaker.Permit
		for range 1000 {
			if p, err := b.Allow(t.Context()); err == nil {
				hanging = append(hanging, p)
			}
			time.Sleep(10 * time.Millisecond)
			if b.State() == breaker.Open {
				break
			}
		}
		wantState(t, b, breaker.Open)
		if got := len(hanging); got > 100+13+20 { // HangAfter, an eighth more, MinCalls
			t.Errorf("%d calls admitted before opening, want at most 133", got)
		}
		for _, p := range hanging {
			if p.Done(nil) {
				t.Error("a call that was given up counted when it ended")
			}
		}
	})
}

func TestHangAfterSparesCallsThatEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.HangAfter = time.Second; s.Consecutive = 1 }))
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 7 * time.Millisecond)
				p := allow(t, b)
				time.Sleep(time.Duration(i%100) * 10 * time.Millisecond)
				if !p.Done(nil) {
					t.Error("a call that ended in time did not count")
				}
			})
		}
		wg.Wait()
		wantState(t, b, breaker.Closed)
		if c := b.Counts(); c.Failures != 0 {
			t.Errorf("counts %+v, want no failure", c)
		}
	})
}

// Calls of an earlier closed period are not given up in a later one.
func TestHangingCallsOfTheLastPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.HangAfter, s.OpenFor = time.Second, 10*time.Millisecond }))
		for range 9 {
			allow(t, b) // never done
		}
		trip(t, b)
		time.Sleep(10 * time.Millisecond)
		recovers(t, b)
		time.Sleep(2 * time.Second)
		if got := b.Counts().Failures; got != 0 {
			t.Errorf("%d failures in the new period, want 0", got)
		}
	})
}

func TestHangingCallCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.HangAfter = time.Second }))
		p := allow(t, b)
		time.Sleep(1125 * time.Millisecond)
		if got := b.Counts().Failures; got != 1 {
			t.Errorf("%d failures while it hangs, want 1", got)
		}
		if p.Done(errDown) || b.Counts().Failures != 1 {
			t.Errorf("counted again when it ended: %+v", b.Counts())
		}
		time.Sleep(time.Hour) // slots are far behind
		p = allow(t, b)
		if !p.Done(nil) {
			t.Error("not counted after a long pause")
		}
		if c := b.Counts(); c.Successes != 1 || c.Failures != 0 {
			t.Errorf("after a long pause: %+v, want one success", c)
		}
	})
}

func TestSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, with(steady, func(s *breaker.Settings) { s.SlowCall = 100 * time.Millisecond }))
		slow := func(d time.Duration) {
			_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) { time.Sleep(d); return 0, nil })
			if err != nil {
				t.Fatalf("slow success: %v", err)
			}
		}
		slow(99 * time.Millisecond)
		if c := b.Counts(); c.Successes != 1 || c.Failures != 0 {
			t.Errorf("after a quick call: %+v", c)
		}
		for range 10 {
			slow(100 * time.Millisecond)
		}
		wantState(t, b, breaker.Open)
	})
}

// A burst of 38 failures within 70 ms opens the circuit wherever in the window
// it falls.
func TestWindowEdge(t *testing.T) {
	for phase := range 200 {
		synctest.Test(t, func(t *testing.T) {
			b := mustNew(t, with(steady, func(s *breaker.Settings) {
				s.Window, s.Bucket, s.Consecutive, s.MinCalls = 200*time.Millisecond, 20*time.Millisecond, -1, 38
			}))
			time.Sleep(time.Duration(phase) * time.Millisecond)
			for range 38 {
				_ = call(t, b, errDown)
				time.Sleep(70 * time.Millisecond / 38)
			}
			if got := b.State(); got == breaker.Closed {
				t.Errorf("burst at %d ms: %v, want open", phase, got)
			}
		})
	}
}

// grpcStatus looks like the error of a gRPC call, which wraps no context error.
type grpcStatus string

func (s grpcStatus) Error() string { return "rpc error: code = " + string(s) }

func TestOutcomes(t *testing.T) {
	canceled := func() context.Context { ctx, cancel := context.WithCancel(context.Background()); cancel(); return ctx }
	expired := func() context.Context {
		ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		cancel()
		return ctx
	}
	wrapped := func(err error) error { return fmt.Errorf("call: %w", errors.Join(errDown, err)) }
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want breaker.Counts
	}{
		"success":                    {context.Background(), nil, breaker.Counts{Successes: 1}},
		"success of one who left":    {canceled(), nil, breaker.Counts{Successes: 1}},
		"failure":                    {context.Background(), errDown, breaker.Counts{Failures: 1, ConsecutiveFailures: 1}},
		"caller cancelled":           {canceled(), wrapped(context.Canceled), breaker.Counts{Ignored: 1}},
		"caller expired":             {expired(), wrapped(context.DeadlineExceeded), breaker.Counts{Ignored: 1}},
		"caller cancelled, gRPC":     {canceled(), grpcStatus("Canceled"), breaker.Counts{Ignored: 1}},
		"caller expired, gRPC":       {expired(), grpcStatus("DeadlineExceeded"), breaker.Counts{Ignored: 1}},
		"own timeout":                {context.Background(), wrapped(context.DeadlineExceeded), breaker.Counts{Failures: 1, ConsecutiveFailures: 1}},
		"own timeout, gRPC":          {context.Background(), grpcStatus("DeadlineExceeded"), breaker.Counts{Failures: 1, ConsecutiveFailures: 1}},
		"marked timeout of one left": {expired(), wrapped(breaker.AttemptTimeout(context.DeadlineExceeded)), breaker.Counts{Failures: 1, ConsecutiveFailures: 1}},
		"cancelled inside":           {context.Background(), wrapped(context.Canceled), breaker.Counts{Ignored: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustNew(t)
			_, err := breaker.Do(c.ctx, b, func(context.Context) (int, error) { return 0, c.err })
			if err != c.err { //nolint:errorlint // the very error
				t.Errorf("Do: error %v, want %v", err, c.err)
			}
			if got := b.Counts(); got != c.want {
				t.Errorf("Do: counts %+v, want %+v", got, c.want)
			}
			b = mustNew(t)
			p, err := b.Allow(c.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if counted := p.Done(c.err); !counted || b.Counts() != c.want {
				t.Errorf("Done: %v, counts %+v, want %+v", counted, b.Counts(), c.want)
			}
		})
	}
}

func TestAttemptTimeout(t *testing.T) {
	if err := breaker.AttemptTimeout(nil); err != nil {
		t.Errorf("of nil: %v", err)
	}
	err := breaker.AttemptTimeout(errDown)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) || err.Error() != "down" {
		t.Errorf("got %v, want one that matches DeadlineExceeded and the cause", err)
	}
}

func TestClassifier(t *testing.T) {
	errNotFound, errQuota, errOdd, errBug := errors.New("404"), errors.New("quota"), errors.New("odd"), errors.New("bug")
	var b *breaker.Breaker
	b = mustNew(t, breaker.WithClassifier(func(err error) breaker.Outcome {
		_, _ = b.State(), b.Counts() // no lock is held
		switch {
		case errors.Is(err, errNotFound):
			return breaker.Success
		case errors.Is(err, errQuota):
			return breaker.Ignored
		case errors.Is(err, errOdd):
			return breaker.Outcome(99)
		case errors.Is(err, errBug):
			panic("classifier")
		}
		return breaker.Failure
	}))
	for _, err := range []error{errNotFound, errQuota, errOdd, errBug, errDown} {
		if got := call(t, b, err); !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	if got, want := b.Counts(), (breaker.Counts{Successes: 1, Ignored: 1, Failures: 3, ConsecutiveFailures: 3}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestForce(t *testing.T) {
	for _, c := range []struct {
		mode     breaker.Mode
		state    breaker.State // after 30 failures
		refuses  bool
		failures int
	}{
		{mode: breaker.ModeAuto, state: breaker.Open, refuses: true},
		{mode: breaker.ModeOpen, state: breaker.Open, refuses: true},
		{mode: breaker.ModeClosed, state: breaker.Closed, failures: 30},
		{mode: breaker.ModeDisabled, state: breaker.Closed},
		{mode: breaker.ModeShadow, state: breaker.Open},
		{mode: breaker.Mode(99), state: breaker.Open, refuses: true},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mustNew(t, breaker.WithSettings(steady))
				b.Force(c.mode)
				refused := 0
				for range 30 {
					if errors.Is(call(t, b, errDown), breaker.ErrOpen) {
						refused++
					}
				}
				wantState(t, b, c.state)
				if (refused > 0) != c.refuses {
					t.Errorf("%d of 30 refused", refused)
				}
				if got := b.Counts().Failures; got != c.failures {
					t.Errorf("%d failures counted, want %d", got, c.failures)
				}
				if c.mode == breaker.ModeShadow && b.Counts().Rejected != 20 {
					t.Errorf("shadow counted %d refusals, want 20", b.Counts().Rejected)
				}
				b.Force(breaker.ModeDisabled)
				b.Force(breaker.ModeAuto)
				wantState(t, b, breaker.Closed)
				if err := call(t, b, nil); err != nil {
					t.Errorf("back in auto: %v", err)
				}
			})
		})
	}
}

func TestForcedOpenSaysNoTime(t *testing.T) {
	b := mustNew(t)
	b.Force(breaker.ModeOpen)
	r, is := errors.AsType[*breaker.RejectedError](call(t, b, nil))
	if !is || r.RetryAfter != 0 || r.State != breaker.Open {
		t.Errorf("got %+v, want open for an unknown time", r)
	}
}

// A shadow goes through all states without refusing, and its probes alone
// decide.
func TestShadowWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady))
		b.Force(breaker.ModeShadow)
		trip(t, b)
		if p := allow(t, b); p.Done(nil) {
			t.Error("a call that would have been refused counted")
		}
		time.Sleep(time.Second)
		wantState(t, b, breaker.HalfOpen)
		probe, beside := allow(t, b), allow(t, b)
		if beside.Done(errDown) {
			t.Error("a call beside the probe counted")
		}
		if !probe.Done(nil) {
			t.Error("the probe did not count")
		}
		b.Force(breaker.ModeAuto) // keeps the state
		wantState(t, b, breaker.HalfOpen)
		for range 2 {
			_ = call(t, b, nil)
		}
		wantState(t, b, breaker.Closed)
	})
}

func TestTexts(t *testing.T) {
	for want, v := range map[string]interface{ String() string }{
		"closed": breaker.Closed, "half-open": breaker.HalfOpen, "open": breaker.Open, "State(9)": breaker.State(9),
		"auto": breaker.ModeAuto, "disabled": breaker.ModeDisabled, "shadow": breaker.ModeShadow, "Mode(9)": breaker.Mode(9),
		"success": breaker.Success, "failure": breaker.Failure, "ignored": breaker.Ignored, "Outcome(9)": breaker.Outcome(9),
	} {
		if got := v.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if breaker.Closed != 0 || breaker.HalfOpen != 1 || breaker.Open != 2 {
		t.Error("the numbers of the states are those of the metric")
	}
	if text, err := breaker.HalfOpen.MarshalText(); string(text) != "half-open" || err != nil {
		t.Errorf("text %q, %v", text, err)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	ctx := context.Background()
	closed := mustNew(t)
	update(t, closed, breaker.Settings{Window: 20 * time.Second})
	open := mustNew(t, breaker.WithSettings(breaker.Settings{OpenFor: time.Hour, Consecutive: 1}))
	_ = call(t, open, errDown)
	group, err := breaker.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		most float64
		f    func()
	}{
		"do":        {0, func() { _, _ = breaker.Do(ctx, closed, ok) }},
		"permit":    {0, func() { p, _ := closed.Allow(ctx); p.Done(nil) }},
		"group get": {0, func() { group.Get("a-key-that-is-a-string") }},
		"refusal":   {1, func() { _, _ = breaker.Do(ctx, open, ok) }},
	} {
		if got := testing.AllocsPerRun(1000, c.f); got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, c.most)
		}
	}
}
