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
	"github.com/gabion-go/gabion/internal/leaktest"
)

func newGroup(tb testing.TB, opts ...breaker.GroupOption) *breaker.Group {
	tb.Helper()
	g, err := breaker.NewGroup(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, breaker.WithBreakers(breaker.WithSettings(steady)))
		a, other := g.Get("a"), g.Get("b")
		trip(t, a)
		if g.Get("a") != a || a.Name() != "a" {
			t.Error("the breaker of a key is another one the second time")
		}
		wantState(t, other, breaker.Closed)
		all := map[string]*breaker.Breaker{}
		for key, b := range g.All() {
			all[key] = b
		}
		if len(all) != 2 || all["a"] != a || all["b"] != other || g.Len() != 2 {
			t.Errorf("all are %v", all)
		}
		g.Forget("a")
		g.Forget("never seen")
		wantState(t, g.Get("a"), breaker.Closed)
		if g.Len() != 2 {
			t.Errorf("%d breakers, want 2", g.Len())
		}
	})
}

func TestGroupErrors(t *testing.T) {
	_, err := breaker.NewGroup(breaker.WithIdle(0), breaker.WithLimit(0),
		breaker.WithBreakers(breaker.WithSettings(breaker.Settings{Probes: -1})))
	if len(parts(err)) != 2 {
		t.Errorf("got %v, want every error joined", err)
	}
}

// What is used stays, what is not goes within one and a half idle times, and
// what would change calls by going is kept.
func TestGroupForgetsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Minute
		g := newGroup(t, breaker.WithIdle(idle), breaker.WithBreakers(
			with(steady, func(s *breaker.Settings) { s.OpenFor = 10 * idle })))
		forced, open := g.Get("forced"), g.Get("open")
		forced.Force(breaker.ModeDisabled)
		trip(t, open)
		used := g.Get("used")
		g.Get("idle")
		for range 10 {
			time.Sleep(idle / 10 * 9)
			if g.Get("used") != used {
				t.Fatal("a breaker in use was forgotten")
			}
		}
		left := map[string]bool{}
		for key := range g.All() {
			left[key] = true
		}
		if len(left) != 3 || left["idle"] {
			t.Errorf("left are %v, want forced, open and used", left)
		}
		forced.Force(breaker.ModeAuto)
		time.Sleep(12 * idle)
		if g.Len() != 0 {
			t.Errorf("%d left at the end", g.Len())
		}
		g.Get("again") // sweeping starts again
		time.Sleep(2 * idle)
		if g.Len() != 0 {
			t.Error("not forgotten the second time")
		}
	})
}

func TestGroupIdleTimeBeginsWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, breaker.WithIdle(time.Minute))
		g.Get("early")
		time.Sleep(30*time.Second - 1) // just before a sweep
		b := g.Get("late")
		time.Sleep(time.Minute)
		if g.Get("late") != b {
			t.Error("forgotten before its idle time was over")
		}
	})
}

func TestGroupForget(t *testing.T) {
	g := newGroup(t)
	for _, key := range []string{"a", "b", "c", "d"} {
		g.Get(key)
	}
	for _, key := range []string{"a", "d", "c"} {
		g.Forget(key)
	}
	var left []string
	for key := range g.All() {
		left = append(left, key)
	}
	if len(left) != 1 || left[0] != "b" || g.Len() != 1 {
		t.Errorf("left %v and %d, want b alone", left, g.Len())
	}
}

func TestGroupLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, breaker.WithLimit(100))
		hot := g.Get("hot")
		for i := range 10_000 {
			g.Get(fmt.Sprint(i))
			if g.Get("hot") != hot {
				t.Fatalf("the breaker in use was displaced by key %d", i)
			}
			if n := g.Len(); n > 100 {
				t.Fatalf("%d breakers, limit 100", n)
			}
		}
	})
}

func TestGroupConcurrently(t *testing.T) {
	leaktest.Check(t)
	g := newGroup(t, breaker.WithLimit(10), breaker.WithIdle(time.Millisecond))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 5000 {
				key := fmt.Sprint(i % 17)
				b := g.Get(key)
				if b.Name() != key {
					t.Errorf("breaker %q for key %q", b.Name(), key)
				}
				_, _ = breaker.Do(context.Background(), b, ok)
				if i%100 == 0 {
					g.Forget(key)
				}
			}
		})
	}
	wg.Wait()
	if n := g.Len(); n > 10 {
		t.Errorf("%d breakers, limit 10", n)
	}
}

// 10,000 instances come, fail and go: at most 1 KiB each while they are there,
// no goroutine, and nothing left within five minutes.
func TestGroupMemory(t *testing.T) {
	const keys = 10_000
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("pricing-%06d", i)
	}
	goroutines := runtime.NumGoroutine()
	g := newGroup(t)
	before := heap()
	for _, name := range names {
		_, _ = breaker.Do(context.Background(), g.Get(name), refused)
	}
	each := (heap() - before) / keys
	t.Logf("%d bytes each", each)
	if each > 1024 && !raceEnabled {
		t.Errorf("%d bytes for each breaker, want at most 1024", each)
	}
	if n := runtime.NumGoroutine() - goroutines; n > keys/2 { // timers of other tests may run just now
		t.Errorf("%d goroutines more than before for %d breakers", n, keys)
	}
	runtime.KeepAlive(g)

	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		for _, name := range names {
			trip(t, g.Get(name))
		}
		time.Sleep(5 * time.Minute)
		if n := g.Len(); n != 0 {
			t.Errorf("%d breakers left after 5 min", n)
		}
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkGroup(b *testing.B) {
	g := newGroup(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, g.Get("10.0.0.7:9001"), ok)
	}
}

func TestGroupSubscribersHearOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // stops the timers' events with the test
		heard := map[string]breaker.State{}
		g := newGroup(t, breaker.WithBreakers(breaker.WithSubscriber(func(e breaker.Event) { heard[e.Name] = e.To })))
		for _, key := range []string{"a", "b"} {
			trip(t, g.Get(key))
		}
		if len(heard) != 2 || heard["a"] != breaker.Open || heard["b"] != breaker.Open {
			t.Errorf("heard %v", heard)
		}
		if !errors.Is(call(t, g.Get("a"), nil), breaker.ErrOpen) {
			t.Error("a is not open")
		}
	})
}
