package limit_test

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"

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
