package cart

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// wake tells the gate that the process was stopped for d until now.
func wake(g *Gate, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = time.Now().Add(-d)
}

func ask(g *Gate, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })).
		ServeHTTP(w, httptest.NewRequest(method, "/", http.NoBody))
	return w
}

func TestGateAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var caughtUp atomic.Int64
		g := NewGate(func(ctx context.Context) error {
			time.Sleep(200 * time.Millisecond) // the bubble's clock
			caughtUp.Add(1)
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		time.Sleep(10 * time.Second)
		if w := ask(g, "PUT"); w.Code != 204 || caughtUp.Load() != 0 {
			t.Fatalf("without a stop: got %d, caught up %d times", w.Code, caughtUp.Load())
		}

		wake(g, 900*time.Millisecond)
		if w := ask(g, "PUT"); w.Code != 204 {
			t.Errorf("after 900 ms: got %d, want 204: callers still wait for the first try", w.Code)
		}

		wake(g, 5*time.Second)
		if w := ask(g, "PUT"); w.Code != 503 || w.Header().Get(transport.HeaderShed) == "" {
			t.Errorf("an old change: got %d %v, want 503 that may go elsewhere", w.Code, w.Header())
		}
		start := time.Now()
		if w := ask(g, "GET"); w.Code != 204 || caughtUp.Load() != 1 {
			t.Errorf("a read: got %d, caught up %d times before", w.Code, caughtUp.Load())
		}
		if d := time.Since(start); d < 200*time.Millisecond || d > 400*time.Millisecond {
			t.Errorf("a read waited %v", d)
		}
		time.Sleep(settle)
		if w := ask(g, "PUT"); w.Code != 204 {
			t.Errorf("a new change: got %d, want 204", w.Code)
		}
		cancel()
		<-done
	})
}

func TestGateOpensWhenNoPeerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		synctest.Wait()
		wake(g, time.Hour)
		start := time.Now()
		if w := ask(g, "GET"); w.Code != 204 {
			t.Errorf("got %d", w.Code)
		}
		if d := time.Since(start); d > maxCatchUp+beat {
			t.Errorf("a read waited %v, want %v at most", d, maxCatchUp)
		}
		cancel()
		<-done
	})
}

func TestGateCatchesUpAgainAfterAnotherStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		var g *Gate
		g = NewGate(func(context.Context) error {
			if times++; times == 1 {
				wake(g, 3*time.Second)
				g.look(time.Now())
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		wake(g, 2*time.Second)
		ask(g, "GET")
		cancel()
		<-done
		if times != 2 {
			t.Errorf("caught up %d times, want 2", times)
		}
	})
}

// A request that the gate let pass just before the process was stopped is as
// old as those that still waited outside.
func TestChangeThatWasUnderWayWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(func(context.Context) error { return nil })
		for wait, want := range map[time.Duration]bool{0: false, maxGap: false, maxGap + time.Millisecond: true} {
			g.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				time.Sleep(wait) // stopped
				if got := overtaken(r.Context()); got != want {
					t.Errorf("after %v: overtaken is %v, want %v", wait, got, want)
				}
			})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PUT", "/", http.NoBody))
		}
		if overtaken(t.Context()) {
			t.Error("a change that came by no gate is overtaken")
		}
	})
}

// TestGateOfAStart: who starts at the address of its predecessor is found before
// it has caught up.
func TestGateOfAStart(t *testing.T) {
	g := NewGate(func(context.Context) error { return nil })
	h := g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func() int {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/carts/c", nil))
		return rec.Code
	}
	g.Shut()
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("while starting: %d, want 503", got)
	}
	g.Open()
	if got := ask(); got != http.StatusOK {
		t.Errorf("once started: %d, want 200", got)
	}
}
