package limit_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

func newAdaptive(t testing.TB, s limit.Settings) *limit.Adaptive {
	t.Helper()
	a, err := limit.NewAdaptive(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fixed is a limiter whose limit never moves.
func fixed(t testing.TB, n, queue int, wait time.Duration) *limit.Adaptive {
	return newAdaptive(t, limit.Settings{Min: n, Max: n, Queue: queue, QueueWait: wait})
}

func acquire(t *testing.T, a *limit.Adaptive) *limit.Ticket {
	t.Helper()
	ticket, err := a.Acquire(t.Context(), limit.Critical)
	if err != nil {
		t.Fatal(err)
	}
	return &ticket
}

func wantShed(t *testing.T, err error, reason string) {
	t.Helper()
	shed, ok := errors.AsType[*limit.ShedError](err)
	if !ok || !errors.Is(err, limit.ErrShed) {
		t.Fatalf("got %v, want a ShedError", err)
	}
	if shed.Reason != reason {
		t.Errorf("refused for %q, want %q", shed.Reason, reason)
	}
	if reason != limit.ReasonExpired && shed.RetryAfter <= 0 {
		t.Errorf("no RetryAfter in %v", err)
	}
}

// A burst of five times the limit at the start waits its turn; none is refused.
func TestBurstAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdaptive(t, limit.Settings{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				ticket, err := a.Acquire(t.Context(), limit.Critical)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(50 * time.Millisecond)
				ticket.Release(limit.Succeeded)
			})
		}
		wg.Wait()
	})
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fixed(t, 1, 2, 500*time.Millisecond)
		held := acquire(t, a)
		results := make(chan error, 3)
		enqueue := func(ctx context.Context, c limit.Criticality) {
			go func() {
				ticket, err := a.Acquire(ctx, c)
				results <- err
				ticket.Release(limit.Ignored)
			}()
			synctest.Wait()
		}
		enqueue(t.Context(), limit.SheddablePlus)
		enqueue(t.Context(), limit.Sheddable)
		if _, err := a.Acquire(t.Context(), limit.Sheddable); true {
			wantShed(t, err, limit.ReasonQueueFull)
		}
		enqueue(t.Context(), limit.Critical) // in place of the sheddable one
		wantShed(t, <-results, limit.ReasonPreempted)
		held.Release(limit.Ignored)
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}

		held = acquire(t, a)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		enqueue(ctx, limit.CriticalPlus)
		err := <-results
		wantShed(t, err, limit.ReasonExpired)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		began = time.Now()
		enqueue(t.Context(), limit.Critical)
		wantShed(t, <-results, limit.ReasonQueueTimeout)
		if d := time.Since(began); d != 500*time.Millisecond {
			t.Errorf("refused after %v, want 500ms", d)
		}
		if n := a.Queued(); n != 0 {
			t.Errorf("%d still queued", n)
		}
		held.Release(limit.Ignored)
	})
}

// The first come are served first, until the queue has been standing for too
// long: then the last.
func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		standing time.Duration
		want     string
	}{
		"burst":    {100 * time.Millisecond, "abc"},
		"overload": {480 * time.Millisecond, "cba"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := fixed(t, 1, 10, 500*time.Millisecond)
				held := acquire(t, a)
				go func() { // keeps the queue standing
					ticket, _ := a.Acquire(t.Context(), limit.Sheddable)
					ticket.Release(limit.Ignored)
				}()
				time.Sleep(c.standing)
				order := make(chan rune, 3)
				for _, r := range "abc" {
					go func() {
						ticket, err := a.Acquire(t.Context(), limit.Critical)
						if err != nil {
							t.Error(err)
							return
						}
						order <- r
						time.Sleep(time.Millisecond)
						ticket.Release(limit.Ignored)
					}()
					synctest.Wait()
					time.Sleep(10 * time.Millisecond)
				}
				held.Release(limit.Ignored)
				got := string([]rune{<-order, <-order, <-order})
				if got != c.want {
					t.Errorf("served in order %s, want %s", got, c.want)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

func TestEndedContext(t *testing.T) {
	a := fixed(t, 10, 0, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Acquire(ctx, limit.CriticalPlus)
	wantShed(t, err, limit.ReasonExpired)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled inside", err)
	}
	if a.InFlight() != 0 {
		t.Errorf("%d in flight", a.InFlight())
	}
}

func TestTicketCountsOnce(t *testing.T) {
	a := fixed(t, 2, -1, 0)
	one, two := acquire(t, a), acquire(t, a)
	if _, err := a.Acquire(t.Context(), limit.CriticalPlus); true {
		wantShed(t, err, limit.ReasonQueueFull)
	}
	for range 3 {
		one.Release(limit.Succeeded)
	}
	if n := a.InFlight(); n != 1 {
		t.Errorf("in flight %d after one of two was released three times", n)
	}
	two.Stream()
	two.Stream()
	if a.InFlight() != 0 || a.Streams() != 1 {
		t.Errorf("in flight %d, streams %d; want 0, 1", a.InFlight(), a.Streams())
	}
	two.Release(limit.Succeeded)
	two.Stream()
	if a.InFlight() != 0 || a.Streams() != 0 {
		t.Errorf("in flight %d, streams %d; want 0, 0", a.InFlight(), a.Streams())
	}
	new(limit.Ticket).Release(limit.Succeeded)
	new(limit.Ticket).Stream()
}

func TestSettings(t *testing.T) {
	var s limit.Settings
	if err := json.Unmarshal([]byte(`{"initial":5,"min":2,"max":50,"queue":-1,"queue_wait":"1s"}`), &s); err != nil {
		t.Fatal(err)
	}
	want := limit.Settings{Initial: 5, Min: 2, Max: 50, Queue: -1, QueueWait: time.Second}
	if s != want {
		t.Errorf("read %+v, want %+v", s, want)
	}
	for _, bad := range []string{`{"initail":5}`, `{"queue_wait":5}`, `[]`} {
		got := want
		if err := json.Unmarshal([]byte(bad), &got); err == nil || got != want {
			t.Errorf("read %s as %+v, %v; want an error and no change", bad, got, err)
		}
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var back limit.Settings
	if err := json.Unmarshal(b, &back); err != nil || back != want {
		t.Errorf("%s reads as %+v, %v", b, back, err)
	}
	for _, bad := range []limit.Settings{{Min: -1}, {Min: 5, Max: 4}, {Initial: 2000}, {QueueWait: -1}, {Min: 30, Initial: 20}} {
		if _, err := limit.NewAdaptive(bad); err == nil {
			t.Errorf("settings %+v are accepted", bad)
		}
	}
	if err := (limit.Settings{Min: 2000}).Validate(); err != nil {
		t.Errorf("a high Min alone: %v", err)
	}
}

func TestCriticalityNames(t *testing.T) {
	for s, want := range map[string]limit.Criticality{
		"critical_plus": limit.CriticalPlus, "critical": limit.Critical, "sheddable_plus": limit.SheddablePlus,
		"sheddable": limit.Sheddable, "": limit.Critical, "CRITICAL_PLUS": limit.Critical, "urgent": limit.Critical,
	} {
		if got := limit.ParseCriticality(s); got != want {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
	}
	for c, want := range map[limit.Criticality]string{0: "critical", 100: "critical_plus", -100: "sheddable"} {
		if got := c.String(); got != want {
			t.Errorf("%d is %q, want %q", c, got, want)
		}
	}
}

func FuzzParseCriticality(f *testing.F) {
	for _, s := range []string{"", "critical", "sheddable_plus", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := limit.ParseCriticality(s)
		if c.String() != s && c != limit.Critical {
			t.Errorf("%q is read as %v", s, c)
		}
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	a := newAdaptive(b, limit.Settings{})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		t, err := a.Acquire(ctx, limit.Critical)
		if err != nil {
			b.Fatal(err)
		}
		t.Release(limit.Succeeded)
	}
}

func BenchmarkRefuse(b *testing.B) {
	a := fixed(b, 1, -1, 0)
	t, err := a.Acquire(b.Context(), limit.Critical)
	if err != nil {
		b.Fatal(err)
	}
	defer t.Release(limit.Ignored)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Acquire(ctx, limit.Sheddable); err == nil {
			b.Fatal("not refused")
		}
	}
}

func TestRefusalsAllocateNothing(t *testing.T) {
	a := fixed(t, 1, -1, 0)
	held := acquire(t, a)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = a.Acquire(ctx, limit.Sheddable) }); n > 0 {
		t.Errorf("%v allocations for a refusal", n)
	}
	held.Release(limit.Ignored)
	if n := testing.AllocsPerRun(100, func() { t, _ := a.Acquire(ctx, limit.Critical); t.Release(limit.Succeeded) }); n > 0 {
		t.Errorf("%v allocations for an admission", n)
	}
}
