package retry_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/retry"
)

func newHedger(t testing.TB, h retry.Hedge) *retry.Hedger {
	t.Helper()
	h.On = true
	g, err := retry.NewHedger(h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// record feeds n durations from 1 ms to n ms, each once.
func record(g *retry.Hedger, n int, unit time.Duration) {
	for i := range n {
		g.Record(time.Duration(i+1) * unit)
	}
}

func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 0.05*float64(want)
}

func TestHedgerDelays(t *testing.T) {
	for name, tc := range map[string]struct {
		hedge         retry.Hedge
		first, second time.Duration
	}{
		"defaults":              {retry.Hedge{}, 950 * time.Millisecond, 985 * time.Millisecond},
		"the median":            {retry.Hedge{Quantile: 0.5}, 500 * time.Millisecond, 985 * time.Millisecond},
		"a share for all":       {retry.Hedge{Share: 0.1}, 950 * time.Millisecond, 950 * time.Millisecond},
		"a delay at the bottom": {retry.Hedge{MinDelay: 2 * time.Second}, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := newHedger(t, tc.hedge)
			if d, ok := g.Delays(); ok {
				t.Fatalf("late after %v before anything was measured", d)
			}
			record(g, 1000, time.Millisecond)
			d, ok := g.Delays()
			if !ok || !near(d.First, tc.first) || !near(d.Second, tc.second) {
				t.Errorf("late after %+v (%t), want %v and %v to within 5 %%", d, ok, tc.first, tc.second)
			}
		})
	}
}

func TestHedgerWaitsForSamples(t *testing.T) {
	g := newHedger(t, retry.Hedge{Samples: 150})
	record(g, 149, time.Millisecond)
	if _, ok := g.Delays(); ok {
		t.Error("calls are late after 149 samples, want none before 150")
	}
	g.Record(time.Millisecond)
	if _, ok := g.Delays(); !ok {
		t.Error("no call is late after 150 samples")
	}
	if err := g.Update(retry.Hedge{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Delays(); ok {
		t.Error("calls are late though hedging was turned off")
	}
	if err := g.Update(retry.Hedge{On: true}); err != nil {
		t.Fatal(err)
	}
	if d, ok := g.Delays(); !ok || d.First == 0 {
		t.Error("what was measured is lost by an update")
	}
	if err := g.Update(retry.Hedge{On: true, Share: 2}); err == nil || !g.Hedge().On || g.Hedge().Share != retry.DefaultHedgeShare {
		t.Errorf("after a bad update (%v) the settings are %+v", err, g.Hedge())
	}
}

// What calls take now counts, not what they took a minute ago.
func TestHedgerFollowsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHedger(t, retry.Hedge{})
		last := time.Duration(0)
		for second := range 60 {
			took := 10 * time.Millisecond
			if second >= 30 {
				took = 40 * time.Millisecond
			}
			for range 100 {
				g.Record(took)
				time.Sleep(10 * time.Millisecond)
			}
			d, _ := g.Delays()
			last = d.First
			if second == 29 && !near(last, 10*time.Millisecond) {
				t.Errorf("late after %v while calls take 10ms", last)
			}
		}
		if !near(last, 40*time.Millisecond) {
			t.Errorf("late after %v half a minute after calls began to take 40ms", last)
		}
	})
}

// At no moment have there been more hedges than their share of the calls.
func TestHedgerShareProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0.001, 0.5).Draw(t, "share")
		g, err := retry.NewHedger(retry.Hedge{On: true, Share: share})
		if err != nil {
			t.Fatal(err)
		}
		calls, hedges := 0, 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 200).Draw(t, "calls") {
				g.Began()
				calls++
			}
			for range rapid.IntRange(0, 30).Draw(t, "late") {
				if g.Take(rapid.Bool().Draw(t, "second")) {
					hedges++
				}
			}
			if float64(hedges) > share*float64(calls)+1e-6 {
				t.Fatalf("%d hedges of %d calls, want at most %v", hedges, calls, share)
			}
		}
	})
}

// Half of what there is is kept for calls that are very late.
func TestHedgerKeepsSome(t *testing.T) {
	g := newHedger(t, retry.Hedge{})
	for range 10_000 {
		g.Began()
	}
	take := func(second bool) (n int) {
		for g.Take(second) {
			n++
		}
		return n
	}
	if first, second := take(false), take(true); first != 6 || second != 4 {
		t.Errorf("%d hedges at the first moment and %d more at the second, want 6 and 4", first, second)
	}
}

// Calls come in bunches, and so do those that are stuck: hardly any of them goes
// without a hedge, although at the second moment others are late too.
func TestHedgerLastsInBunches(t *testing.T) {
	g := newHedger(t, retry.Hedge{})
	chance := rand.New(rand.NewPCG(1, 1))
	stuck, without := 0, 0
	for range 2000 {
		took := make([]time.Duration, 100)
		for i := range took {
			g.Began()
			took[i] = time.Duration((8 + 7*chance.Float64()) * float64(time.Millisecond))
			if chance.Float64() < 0.001 {
				took[i] = time.Second
				stuck++
			}
		}
		slices.Sort(took)
		d, ok := g.Delays()
		for _, second := range []bool{false, true} {
			for i := range took { // the first to be late may be any
				late := d.First
				if second {
					late = d.Second
				}
				if ok && took[i] > late && g.Take(second) {
					took[i] = late
				}
			}
		}
		for _, d := range took {
			if g.Record(d); ok && d == time.Second {
				without++
			}
		}
	}
	if stuck < 150 || without > stuck/20 {
		t.Errorf("%d of %d that were stuck had no hedge", without, stuck)
	}
}

func TestHedgerConcurrently(t *testing.T) {
	g := newHedger(t, retry.Hedge{Share: 0.1})
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		wg.Go(func() {
			n := 0
			for i := range 2000 {
				g.Began()
				g.Record(time.Duration(i%50+1) * time.Millisecond)
				if d, ok := g.Delays(); ok && d.Second < d.First {
					t.Errorf("the second moment %v is before the first %v", d.Second, d.First)
				}
				if g.Take(i%2 == 0) {
					n++
				}
			}
			mu.Lock()
			taken += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if taken > 1600 || taken < 100 {
		t.Errorf("%d hedges of 16000 calls, want at most 1600 and some", taken)
	}
}

func TestHedgerAllocatesNothing(t *testing.T) {
	g := newHedger(t, retry.Hedge{})
	if n := testing.AllocsPerRun(1000, func() {
		g.Began()
		g.Record(time.Millisecond)
		g.Delays()
		g.Take(true)
	}); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}

func TestBudgetThrottled(t *testing.T) {
	b, err := retry.NewBudget(retry.BudgetPolicy{Cap: 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if b.Throttled() {
			t.Fatalf("throttled with %v of 10 tokens", b.Tokens())
		}
		b.Take(retry.CostRetry)
	}
	b.Take(retry.CostRetry)
	if !b.Throttled() {
		t.Errorf("not throttled with %v of 10 tokens", b.Tokens())
	}
}

func BenchmarkHedger(b *testing.B) {
	g := newHedger(b, retry.Hedge{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g.Began()
			g.Delays()
			g.Record(10 * time.Millisecond)
		}
	})
}
