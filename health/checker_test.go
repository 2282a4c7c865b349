package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/health"
	"github.com/gabion-go/gabion/internal/leaktest"
	"pgregory.net/rapid"
)

var errDown = errors.New("down")

// fake is a check whose answer, delay and use a test controls.
type fake struct {
	err    atomic.Pointer[error]
	delay  atomic.Int64
	deaf   atomic.Bool // ignores its context
	runs   atomic.Int64
	inside atomic.Int64
	most   atomic.Int64 // runs at once
}

func (f *fake) fail(err error) { f.err.Store(&err) }

func (f *fake) check(ctx context.Context) error {
	f.runs.Add(1)
	n := f.inside.Add(1)
	defer f.inside.Add(-1)
	f.most.Store(max(f.most.Load(), n))
	done := ctx.Done()
	if f.deaf.Load() {
		done = nil
	}
	if d := time.Duration(f.delay.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-done:
			return ctx.Err()
		}
	}
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

func add(t *testing.T, c *health.Checker, name string, check health.Check, opts ...health.CheckOption) func() {
	t.Helper()
	remove, err := c.Add(name, check, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

// probe returns status code and body of one GET.
func probe(h http.Handler, target string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func wantProbe(t *testing.T, h http.Handler, code int, status string) {
	t.Helper()
	gotCode, body := probe(h, "/")
	if want := `{"status":"` + status + `"}`; gotCode != code || body != want {
		t.Errorf("probe: got %d %s, want %d %s", gotCode, body, code, want)
	}
}

func wantStatus(t *testing.T, c *health.Checker, want discovery.Status) {
	t.Helper()
	if got, _ := c.Status(); got != want {
		t.Errorf("status: got %v, want %v", got, want)
	}
}

func TestWithoutChecks(t *testing.T) {
	c := health.New()
	wantProbe(t, c.LiveHandler(), 200, "pass")
	wantProbe(t, c.ReadyHandler(), 200, "pass")
	wantProbe(t, c.StartupHandler(), 200, "pass")
	wantStatus(t, c, discovery.Passing)
}

func TestKinds(t *testing.T) {
	down := func(context.Context) error { return errDown }
	for name, tc := range map[string]struct {
		opts                 []health.CheckOption
		live, ready, started int
		word                 string // of readiness
		status               discovery.Status
	}{
		"critical readiness": {nil, 200, 503, 200, "fail", discovery.Critical},
		"degrade-only readiness": {[]health.CheckOption{health.WithDegradeOnly(true)},
			200, 200, 200, "warn", discovery.Warning},
		"critical liveness": {[]health.CheckOption{health.WithKind(health.Liveness)},
			503, 503, 200, "fail", discovery.Critical},
		"degrade-only liveness": {[]health.CheckOption{health.WithKind(health.Liveness), health.WithDegradeOnly(true)},
			200, 200, 200, "warn", discovery.Warning},
		"startup": {[]health.CheckOption{health.WithKind(health.Startup)},
			200, 503, 503, "fail", discovery.Critical},
	} {
		t.Run(name, func(t *testing.T) {
			c := health.New()
			add(t, c, "it", down, tc.opts...)
			wantProbe(t, c.ReadyHandler(), tc.ready, tc.word)
			if got, _ := probe(c.LiveHandler(), "/"); got != tc.live {
				t.Errorf("live: got %d, want %d", got, tc.live)
			}
			if got, _ := probe(c.StartupHandler(), "/"); got != tc.started {
				t.Errorf("started: got %d, want %d", got, tc.started)
			}
			wantStatus(t, c, tc.status)
		})
	}
}

func TestLivenessRunsNoOtherKind(t *testing.T) {
	var f fake
	c := health.New()
	add(t, c, "database", f.check)
	wantProbe(t, c.LiveHandler(), 200, "pass")
	if n := f.runs.Load(); n != 0 {
		t.Errorf("liveness probe ran a readiness check %d times", n)
	}
}

func TestStartup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.fail(errDown)
		c := health.New()
		add(t, c, "migrations", f.check, health.WithKind(health.Startup))
		wantProbe(t, c.StartupHandler(), 503, "fail")
		wantProbe(t, c.ReadyHandler(), 503, "fail")
		wantProbe(t, c.LiveHandler(), 200, "pass") // else it would be killed while it boots
		time.Sleep(2 * time.Second)
		f.fail(nil)
		wantProbe(t, c.StartupHandler(), 200, "pass")
		f.fail(errDown)
		time.Sleep(2 * time.Second)
		wantProbe(t, c.StartupHandler(), 200, "pass") // passed once is enough
		if n := f.runs.Load(); n != 2 {
			t.Errorf("startup check ran %d times, want 2", n)
		}
	})
}

func TestMarkStarted(t *testing.T) {
	for name, c := range map[string]*health.Checker{
		"failing check": health.New(),
		"manual start":  health.New(health.WithManualStart(true)),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "failing check" {
				add(t, c, "slow", func(context.Context) error { return errDown }, health.WithKind(health.Startup))
			}
			wantProbe(t, c.StartupHandler(), 503, "fail")
			wantStatus(t, c, discovery.Critical)
			_, changed := c.Status()
			c.MarkStarted()
			<-changed
			c.MarkStarted()
			wantProbe(t, c.StartupHandler(), 200, "pass")
			wantStatus(t, c, discovery.Passing)
		})
	}
}

func TestDrainingIsForGood(t *testing.T) {
	c := health.New()
	_, changed := c.Status()
	c.SetDraining()
	<-changed
	c.MarkStarted()
	wantProbe(t, c.ReadyHandler(), 503, "fail")
	wantProbe(t, c.LiveHandler(), 200, "pass")
	wantProbe(t, c.StartupHandler(), 200, "pass")
	wantStatus(t, c, discovery.Critical)
	_, body := probe(c.ReadyHandler(), "/?verbose")
	if !strings.Contains(body, `"notes":["draining"]`) {
		t.Errorf("verbose: got %s, want the note that it drains", body)
	}
}

func TestRunLearnsWithoutProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := health.New()
		add(t, c, "stock", f.check)
		wantStatus(t, c, discovery.Critical) // not checked yet

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		wantStatus(t, c, discovery.Passing)

		f.fail(errDown)
		_, changed := c.Status()
		start := time.Now()
		<-changed
		if d := time.Since(start); d < 1800*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("change seen after %v, want 2 s and a tenth", d)
		}
		wantStatus(t, c, discovery.Critical)
		if n := c.Transitions(); n != 3 { // add, pass, fail
			t.Errorf("transitions: got %d, want 3", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
}

func TestRunEndsAfterItsRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.delay.Store(int64(300 * time.Millisecond))
		c := health.New()
		add(t, c, "stock", f.check)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		c.Run(ctx)
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("Run ended after %v, want 300 ms, when its checks had", d)
		}
		wantStatus(t, c, discovery.Passing)
	})
}

func TestChannelIsQuietWithoutChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := health.New()
		add(t, c, "stock", f.check)
		probe(c.ReadyHandler(), "/")
		_, changed := c.Status()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c.Run(ctx)
		select {
		case <-changed:
			t.Error("channel closed although nothing changed")
		default:
		}
		if n := f.runs.Load(); n < 25 || n > 35 {
			t.Errorf("runs in a minute: got %d, want about 30", n)
		}
	})
}

func TestProbesAreCoalescedAndCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.delay.Store(int64(300 * time.Millisecond))
		c := health.New()
		add(t, c, "stock", f.check)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wantProbe(t, c.ReadyHandler(), 200, "pass") })
		}
		wg.Wait()
		wantProbe(t, c.ReadyHandler(), 200, "pass")
		if n := f.runs.Load(); n != 1 {
			t.Errorf("101 probes ran the check %d times, want 1", n)
		}
		time.Sleep(1001 * time.Millisecond)
		wantProbe(t, c.ReadyHandler(), 200, "pass")
		if n := f.runs.Load(); n != 2 {
			t.Errorf("after the cache ran out: %d runs, want 2", n)
		}
	})
}

func TestChecksRunInParallelUnderOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := health.New()
		for _, name := range []string{"a", "b", "c"} {
			var f fake
			f.delay.Store(int64(900 * time.Millisecond))
			add(t, c, name, f.check)
		}
		var slow fake
		slow.delay.Store(int64(5 * time.Second))
		add(t, c, "slow", slow.check, health.WithDegradeOnly(true))
		start := time.Now()
		wantProbe(t, c.ReadyHandler(), 200, "warn")
		if d := time.Since(start); d != time.Second {
			t.Errorf("probe took %v, want the deadline of 1 s", d)
		}
	})
}

func TestHangingCheckFailsAndDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.deaf.Store(true)
		f.delay.Store(int64(time.Minute))
		c := health.New(health.WithDeadline(500 * time.Millisecond))
		add(t, c, "nfs", f.check)
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		go c.Run(ctx)
		before := leaktest.InBubbles()
		start := time.Now()
		wantProbe(t, c.ReadyHandler(), 503, "fail")
		if d := time.Since(start); d != 500*time.Millisecond {
			t.Errorf("first probe took %v, want 500 ms", d)
		}
		if got := c.Results()[0].Output; got != "health: no answer within 500ms" {
			t.Errorf("output: %q", got)
		}
		for range 100 {
			time.Sleep(500 * time.Millisecond)
			start := time.Now()
			wantProbe(t, c.ReadyHandler(), 503, "fail")
			if d := time.Since(start); d != 0 {
				t.Fatalf("probe of a hanging check took %v, want none", d)
			}
		}
		if n := leaktest.InBubbles(); n > before+2 {
			t.Errorf("goroutines: got %d, had %d", n, before)
		}
		if got := c.Results()[0].Output; !strings.HasPrefix(got, "health: check hangs since") {
			t.Errorf("output: %q", got)
		}
		if n, most := f.runs.Load(), f.most.Load(); n != 1 || most != 1 {
			t.Errorf("runs %d, at once %d, want 1 and 1", n, most)
		}

		<-ctx.Done()
		time.Sleep(5 * time.Second) // it returns, too late to count
		wantStatus(t, c, discovery.Critical)
		f.delay.Store(0)
		wantProbe(t, c.ReadyHandler(), 200, "pass")
	})
}

func TestProbeLeavesWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.delay.Store(int64(800 * time.Millisecond))
		c := health.New()
		add(t, c, "stock", f.check)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		c.ReadyHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(ctx))
		if w.Code != 503 {
			t.Errorf("before the first result: got %d, want 503", w.Code)
		}
		wantProbe(t, c.ReadyHandler(), 200, "pass") // the run went on and is shared
		if n := f.runs.Load(); n != 1 {
			t.Errorf("runs: got %d, want 1", n)
		}
	})
}

func TestCheckThatNeverReturnsNormally(t *testing.T) {
	for name, check := range map[string]health.Check{
		"panics": func(context.Context) error { panic("secret") },
		"exits":  func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := health.New()
				add(t, c, "odd", check)
				for range 3 {
					wantProbe(t, c.ReadyHandler(), 503, "fail")
					if got, want := c.Results()[0].Output, "health: check panicked"; got != want {
						t.Errorf("output: got %q, want %q", got, want)
					}
					time.Sleep(2 * time.Second)
				}
			})
		})
	}
}

// TestThresholds holds the state of a check against a plain reading of its
// last results.
func TestThresholds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rise, fall := rapid.IntRange(1, 4).Draw(rt, "rise"), rapid.IntRange(1, 4).Draw(rt, "fall")
		kind := rapid.SampledFrom([]health.Kind{health.Readiness, health.Liveness}).Draw(rt, "kind")
		results := rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(rt, "results")
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			var f fake
			c := health.New()
			add(t, c, "it", f.check, health.WithKind(kind), health.WithThresholds(rise, fall))
			healthy, transitions := kind == health.Liveness, uint64(0)
			for i, ok := range results {
				f.fail(map[bool]error{false: errDown}[ok])
				probe(c.ReadyHandler(), "/")
				need := fall
				if !healthy {
					need = rise
				}
				if last := results[max(0, i+1-need) : i+1]; ok != healthy && len(last) == need && !slices.Contains(last, healthy) {
					healthy = ok
					transitions++
				}
				got := c.Results()[0]
				if got.Healthy != healthy || got.Transitions != transitions {
					wrong = fmt.Sprintf("after %v: healthy %v, %d transitions; want %v, %d",
						results[:i+1], got.Healthy, got.Transitions, healthy, transitions)
					return
				}
				time.Sleep(1001 * time.Millisecond)
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a busy machine would miss the deadline of 1 s
		c := health.New()
		remove := add(t, c, "shard 7", func(context.Context) error { return errDown })
		add(t, c, "a", func(context.Context) error { return nil })
		wantProbe(t, c.ReadyHandler(), 503, "fail")
		_, changed := c.Status()
		remove()
		<-changed
		remove()
		wantProbe(t, c.ReadyHandler(), 200, "pass")
		if got := c.Results(); len(got) != 1 || got[0].Name != "a" {
			t.Errorf("results: %+v", got)
		}
	})
}

func TestAddRefuses(t *testing.T) {
	ok := func(context.Context) error { return nil }
	c := health.New()
	add(t, c, "taken", ok)
	for name, tc := range map[string]struct {
		name  string
		check health.Check
		opts  []health.CheckOption
		want  error
	}{
		"no name":         {"", ok, nil, health.ErrBadCheck},
		"no function":     {"x", nil, nil, health.ErrBadCheck},
		"kind":            {"x", ok, []health.CheckOption{health.WithKind(7)}, health.ErrBadCheck},
		"zero timeout":    {"x", ok, []health.CheckOption{health.WithTimeout(0)}, health.ErrBadCheck},
		"long timeout":    {"x", ok, []health.CheckOption{health.WithTimeout(time.Minute)}, health.ErrBadCheck},
		"rise":            {"x", ok, []health.CheckOption{health.WithThresholds(0, 1)}, health.ErrBadCheck},
		"fall":            {"x", ok, []health.CheckOption{health.WithThresholds(1, 0)}, health.ErrBadCheck},
		"degrade startup": {"x", ok, []health.CheckOption{health.WithKind(health.Startup), health.WithDegradeOnly(true)}, health.ErrBadCheck},
		"duplicate":       {"taken", ok, nil, health.ErrDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			remove, err := c.Add(tc.name, tc.check, tc.opts...)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			remove()
			if n := len(c.Results()); n != 1 {
				t.Errorf("%d checks left, want 1", n)
			}
		})
	}
}

func TestResultsRunNothing(t *testing.T) {
	var f fake
	c := health.New()
	add(t, c, "b", f.check)
	add(t, c, "a", f.check, health.WithKind(health.Liveness))
	got := c.Results()
	if len(got) != 2 || got[0].Name != "a" || !got[0].Healthy || got[1].Healthy || !got[1].Checked.IsZero() {
		t.Errorf("results: %+v", got)
	}
	if f.runs.Load() != 0 {
		t.Error("reading the results ran a check")
	}
}
