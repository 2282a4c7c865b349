package limit_test

import (
	"encoding/json"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/limit"
)

func TestBulkhead(t *testing.T) {
	b := limit.NewBulkhead(2)
	for i, want := range []bool{true, true, false} {
		if got := b.TryAcquire(); got != want {
			t.Fatalf("TryAcquire %d of a bulkhead of 2: got %v, want %v", i+1, got, want)
		}
	}
	b.SetMax(3)
	if !b.TryAcquire() {
		t.Fatal("no third place after SetMax(3)")
	}
	b.SetMax(1)
	b.Release()
	b.Release()
	if b.TryAcquire() {
		t.Fatal("a place while one of one is taken")
	}
	b.Release()
	if b.InFlight() != 0 || !b.TryAcquire() {
		t.Fatalf("in flight %d, and no place", b.InFlight())
	}
	if n := limit.NewBulkhead(0).Max(); n != limit.DefaultMaxInflight {
		t.Errorf("NewBulkhead(0) has %d places", n)
	}
}

// However many come at once, there are never more inside than there are places.
func TestBulkheadConcurrent(t *testing.T) {
	const places = 5
	b := limit.NewBulkhead(places)
	var inside, entered atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 2000 {
				if !b.TryAcquire() {
					continue
				}
				entered.Add(1)
				if n := inside.Add(1); n > places {
					t.Errorf("%d inside", n)
				}
				inside.Add(-1)
				b.Release()
			}
		})
	}
	wg.Wait()
	if b.InFlight() != 0 || entered.Load() == 0 {
		t.Errorf("in flight %d, entered %d", b.InFlight(), entered.Load())
	}
}

func TestPolicy(t *testing.T) {
	var p limit.Policy
	if p.Max() != 1024 || p.Validate() != nil {
		t.Errorf("zero policy: max %d, %v", p.Max(), p.Validate())
	}
	if err := json.Unmarshal([]byte(`{"max_inflight":7}`), &p); err != nil || p.Max() != 7 {
		t.Errorf("read %+v, %v", p, err)
	}
	if err := json.Unmarshal([]byte(`{"max_inflihgt":8}`), &p); err == nil || p.Max() != 7 {
		t.Errorf("a misspelt name is read as %+v, %v", p, err)
	}
	if (limit.Policy{MaxInflight: -1}).Validate() == nil {
		t.Error("a negative limit is valid")
	}
}

func BenchmarkBulkhead(b *testing.B) {
	h := limit.NewBulkhead(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if h.TryAcquire() {
				h.Release()
			}
		}
	})
}

// Each class stops at its part of the places, whoever has taken them.
func TestBulkheadClasses(t *testing.T) {
	for name, tc := range map[string]struct {
		policy limit.Policy
		want   [4]int // places of sheddable, sheddable_plus, critical, critical_plus
	}{
		"default":    {limit.Policy{}, [4]int{512, 768, 1024, 1024}},
		"ten":        {limit.Policy{MaxInflight: 10}, [4]int{5, 8, 10, 10}},
		"one":        {limit.Policy{MaxInflight: 1}, [4]int{1, 1, 1, 1}},
		"headroom":   {limit.Policy{MaxInflight: 100, Shares: limit.Shares{Critical: 0.95}}, [4]int{50, 75, 95, 100}},
		"low":        {limit.Policy{MaxInflight: 100, Shares: limit.Shares{Critical: 0.4}}, [4]int{40, 40, 40, 100}},
		"high":       {limit.Policy{MaxInflight: 100, Shares: limit.Shares{Sheddable: 0.9}}, [4]int{90, 90, 100, 100}},
		"tiny share": {limit.Policy{MaxInflight: 10, Shares: limit.Shares{Sheddable: 0.001}}, [4]int{1, 8, 10, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.policy.Validate(); err != nil {
				t.Fatal(err)
			}
			b := limit.NewBulkhead(0)
			b.Update(tc.policy)
			taken := 0
			for i, want := range tc.want {
				c := limit.Sheddable + limit.Criticality(i)
				for b.TryAcquireFor(c) {
					taken++
				}
				if taken != want || b.MaxFor(c) != want {
					t.Errorf("%v fills %d places, says %d, want %d", c, taken, b.MaxFor(c), want)
				}
			}
			if b.TryAcquire() || b.Max() != taken {
				t.Errorf("more than %d of %d places", taken, b.Max())
			}
		})
	}
}

// A place is given exactly when fewer are taken than the class may fill, through
// any order of calls, ends and changes of policy.
func TestBulkheadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.SampledFrom([]float64{0, 0.01, 0.3, 0.5, 0.9, 1})
		b, taken := limit.NewBulkhead(0), 0
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				c := rapid.SampledFrom([]limit.Criticality{limit.Sheddable, limit.SheddablePlus, limit.Critical, limit.CriticalPlus}).Draw(t, "class")
				want := taken < b.MaxFor(c)
				if got := b.TryAcquireFor(c); got != want {
					t.Fatalf("%v got a place: %v, with %d of %d taken", c, got, taken, b.MaxFor(c))
				}
				if want {
					taken++
				}
			},
			"release": func(t *rapid.T) {
				if taken == 0 {
					t.Skip("nothing to give back")
				}
				b.Release()
				taken--
			},
			"update": func(t *rapid.T) {
				p := limit.Policy{MaxInflight: rapid.IntRange(0, 20).Draw(t, "max"), Shares: limit.Shares{
					Sheddable: share.Draw(t, "sheddable"), SheddablePlus: share.Draw(t, "sheddable_plus"), Critical: share.Draw(t, "critical")}}
				if p.Validate() != nil {
					t.Skip("not valid")
				}
				b.Update(p)
			},
			"": func(t *rapid.T) {
				if b.InFlight() != taken {
					t.Fatalf("%d in flight, want %d", b.InFlight(), taken)
				}
				for c := limit.Sheddable; c < limit.CriticalPlus; c++ {
					if n := b.MaxFor(c); n < 1 || n > b.MaxFor(c+1) {
						t.Fatalf("%v may fill %d places, %v %d", c, n, c+1, b.MaxFor(c+1))
					}
				}
			},
		})
	})
}

func TestShares(t *testing.T) {
	var p limit.Policy
	const text = `{"max_inflight":7,"shares":{"sheddable":0.25,"critical":0.9}}`
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Shares != (limit.Shares{Sheddable: 0.25, Critical: 0.9}) {
		t.Errorf("read %+v, %v", p, err)
	}
	if b, err := json.Marshal(p); err != nil || string(b) != text {
		t.Errorf("wrote %s, %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"shares":{"shedable":1}}`), &p); err == nil {
		t.Error("a misspelt class is accepted")
	}
	for _, bad := range []limit.Shares{{Sheddable: -0.1}, {Critical: 1.1}, {SheddablePlus: math.NaN()}, {Sheddable: 0.8, SheddablePlus: 0.7}, {Sheddable: 0.8, Critical: 0.7}} {
		if (limit.Policy{Shares: bad}).Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
	if got, want := (limit.Policy{}).WithDefaults(), (limit.Policy{MaxInflight: 1024, Shares: limit.Shares{Sheddable: 0.5, SheddablePlus: 0.75, Critical: 1}}); got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
}
