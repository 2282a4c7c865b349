package retry_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
	"pgregory.net/rapid"
)

func newBudget(t testing.TB, p retry.BudgetPolicy) *retry.Budget {
	t.Helper()
	b, err := retry.NewBudget(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drain takes single tokens until there is none, and returns how many.
func drain(b *retry.Budget) int {
	n := 0
	for b.Take(retry.CostRetry) {
		n++
	}
	return n
}

func wantTokens(t *testing.T, b *retry.Budget, want float64) {
	t.Helper()
	if got := b.Tokens(); math.Abs(got-want) > 0.0015 {
		t.Fatalf("%v tokens, want %v", got, want)
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetPolicy{})
		wantTokens(t, b, 10)
		for _, c := range []struct {
			cost retry.Cost
			left float64
		}{{retry.CostRetry, 9}, {retry.CostTimeout, 7}, {retry.CostHedge, 6}, {0, 6}, {-3, 6}} {
			if !b.Take(c.cost) {
				t.Fatalf("cost %d refused", c.cost)
			}
			wantTokens(t, b, c.left)
		}
		if n := drain(b); n != 6 {
			t.Fatalf("%d retries, want 6", n)
		}

		time.Sleep(time.Hour) // no success yet: no refill
		wantTokens(t, b, 0)
		for range 19 {
			b.Success()
		}
		wantTokens(t, b, 1.9)
		if b.Take(retry.CostTimeout) {
			t.Fatal("2 taken of 1.9")
		}
		wantTokens(t, b, 1.9) // a refusal takes nothing

		time.Sleep(1500 * ms)
		wantTokens(t, b, 3.4)
		drain(b)
		wantTokens(t, b, 0.4)
		time.Sleep(time.Hour) // 8.5 s of the 10 after a success are left
		wantTokens(t, b, 8.9)
		drain(b)
		time.Sleep(time.Hour)
		b.Success() // the hours without success are not paid
		wantTokens(t, b, 1)
		for range 1000 {
			b.Success()
		}
		wantTokens(t, b, 10)
		time.Sleep(time.Hour)
		wantTokens(t, b, 10)
	})
}

// A service that is down gets its tokens' worth of extra attempts, and no more,
// however long that lasts and however many ask.
func TestBudgetEndsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetPolicy{})
		for range 1000 {
			b.Success()
			time.Sleep(10 * ms)
		}
		extra := 0
		for range 60_000 { // 1000 calls a second for a minute, each wants two retries
			for range 2 {
				if b.Take(retry.CostRetry) {
					extra++
				}
			}
			time.Sleep(ms)
		}
		if extra > 20 { // 10 at hand, and 1 a second for 10 s
			t.Errorf("%d extra attempts in a minute of outage, want 20 at most", extra)
		}
	})
}

// A slow refill is not lost to those who look often.
func TestBudgetSlowRefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetPolicy{Refill: 0.3, PerSuccess: 0.001, Window: time.Minute})
		drain(b)
		const n = 1000
		for range n {
			time.Sleep(3 * ms)
			b.Success() // writes each time
		}
		// A thousandth is paid after 4 ms where 3.33 would do: up to a fifth less.
		got, most := b.Tokens()-n*0.001, 0.3*0.003*(n-1)
		if got > most+0.001 || got < 0.8*most {
			t.Errorf("refilled by %v, want %v or a little less", got, most)
		}
	})
}

// Many takers at once never take more than there is.
func TestBudgetNeverOverdrawn(t *testing.T) {
	const tokens = 10_000
	b := newBudget(t, retry.BudgetPolicy{Cap: tokens, Refill: -1})
	var taken atomic.Int64
	together(func() {
		for b.Take(retry.CostRetry) {
			taken.Add(1)
		}
	})
	if n := taken.Load(); n != tokens {
		t.Errorf("%d tokens taken of %d", n, tokens)
	}
}

// Successes are counted exactly, whoever reports them.
func TestBudgetConcurrentSuccesses(t *testing.T) {
	b := newBudget(t, retry.BudgetPolicy{Cap: 10_000, Refill: -1})
	drain(b)
	together(func() {
		for range 10_000 {
			b.Success()
		}
	})
	wantTokens(t, b, 8000)
}

// together runs f in eight goroutines that begin at the same time.
func together(f func()) {
	var ready, done sync.WaitGroup
	ready.Add(1)
	for range 8 {
		done.Go(func() {
			ready.Wait()
			f()
		})
	}
	ready.Done()
	done.Wait()
}

// The budget agrees with a plain model of it, whatever happens in whatever
// order.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var panicked any // rapid ends a failed run so, and wants to see it
		synctest.Test(t, func(t *testing.T) {
			defer func() { panicked = recover() }()
			b := newBudget(t, retry.BudgetPolicy{})
			tokens, fed := 10.0, time.Duration(0) // fed: how much longer it is refilled
			limit, refill, length := 10.0, 1.0, 10*time.Second
			never, since := true, time.Duration(0) // the last success
			rt.Repeat(map[string]func(*rapid.T){
				"success": func(*rapid.T) {
					b.Success()
					tokens, fed, never, since = min(tokens+0.1, limit), length, false, 0
				},
				"take": func(rt *rapid.T) {
					cost := rapid.IntRange(1, 2).Draw(rt, "cost")
					if math.Abs(tokens-float64(cost)) < 0.002 {
						return // too close to call in floating point
					}
					want := tokens >= float64(cost)
					if got := b.Take(retry.Cost(cost)); got != want {
						rt.Fatalf("take %d of %v: %v", cost, tokens, got)
					}
					if want {
						tokens -= float64(cost)
					}
				},
				"wait": func(rt *rapid.T) {
					d := time.Duration(rapid.IntRange(1, 15_000).Draw(rt, "ms")) * ms
					time.Sleep(d)
					tokens = min(limit, tokens+refill*min(d, fed).Seconds())
					since += d
					fed -= min(d, fed)
				},
				"update": func(rt *rapid.T) {
					limit = rapid.SampledFrom([]float64{4, 10, 20}).Draw(rt, "cap")
					window := time.Duration(rapid.IntRange(5, 20).Draw(rt, "window")) * time.Second
					refill = rapid.SampledFrom([]float64{-1, 1, 2}).Draw(rt, "refill")
					if err := b.Update(retry.BudgetPolicy{Cap: limit, Window: window, Refill: refill}); err != nil {
						rt.Fatal(err)
					}
					tokens, refill = min(tokens, limit), max(refill, 0)
					if !never {
						fed = max(0, window-since)
					}
					length = window
				},
				"": func(rt *rapid.T) {
					// A full budget notes successes only once in a tenth of its window.
					if got := b.Tokens(); got > tokens+0.003 || got < tokens-refill*length.Seconds()/10-0.003 {
						rt.Fatalf("%v tokens, want %v", got, tokens)
					}
					tokens = b.Tokens()
				},
			})
		})
		if panicked != nil {
			panic(panicked)
		}
	})
}

func TestBudgetUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetPolicy{})
		update := func(p retry.BudgetPolicy) {
			t.Helper()
			if err := b.Update(p); err != nil {
				t.Fatal(err)
			}
		}
		update(retry.BudgetPolicy{Cap: 20})
		wantTokens(t, b, 10) // none for nothing
		update(retry.BudgetPolicy{Cap: 4})
		wantTokens(t, b, 4)
		update(retry.BudgetPolicy{Cap: 20, Window: time.Hour})
		time.Sleep(time.Minute)
		wantTokens(t, b, 4) // there has been no success, however long the window

		b.Success()
		wantTokens(t, b, 4.1)
		time.Sleep(2 * time.Second)
		update(retry.BudgetPolicy{Cap: 20, Refill: 3, Window: 4 * time.Second})
		wantTokens(t, b, 6.1) // these two seconds by the old policy
		time.Sleep(time.Hour)
		wantTokens(t, b, 12.1) // and two more by the new one
		update(retry.BudgetPolicy{Cap: 20, Refill: 3, Window: 2 * time.Hour})
		wantTokens(t, b, 12.1) // the hour is not paid afterwards

		if err := b.Update(retry.BudgetPolicy{Cap: -1}); err == nil {
			t.Error("a bad policy is accepted")
		}
		wantTokens(t, b, 12.1)
	})
}

// For the race detector, and tokens are never more than the cap.
func TestBudgetUpdateUnderLoad(t *testing.T) {
	b := newBudget(t, retry.BudgetPolicy{})
	var n atomic.Int64
	together(func() {
		for range 2000 {
			b.Success()
			b.Take(retry.CostRetry)
			if err := b.Update(retry.BudgetPolicy{Cap: float64(1 + n.Add(1)%20)}); err != nil {
				t.Error(err)
			}
			if got := b.Tokens(); got > 20 {
				t.Errorf("%v tokens", got)
			}
		}
	})
}

func TestBudgetPolicyRefused(t *testing.T) {
	for _, p := range []retry.BudgetPolicy{{Cap: -1}, {Cap: 1e6}, {Cap: math.NaN()}, {PerSuccess: -1}, {Refill: math.Inf(1)}, {Window: -1}} {
		if _, err := retry.NewBudget(p); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

func TestBudgetAllocatesNothing(t *testing.T) {
	b := newBudget(t, retry.BudgetPolicy{})
	if n := testing.AllocsPerRun(1000, func() { b.Take(retry.CostRetry); b.Success(); b.Tokens() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBudgetSuccess(b *testing.B) {
	budget := newBudget(b, retry.BudgetPolicy{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.Success()
		}
	})
}

func BenchmarkBudgetTake(b *testing.B) {
	budget := newBudget(b, retry.BudgetPolicy{})
	b.ReportAllocs()
	for b.Loop() {
		budget.Take(retry.CostRetry)
		budget.Success()
	}
}
