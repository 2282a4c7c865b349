package retry_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/clocktest"
	"github.com/gabion-go/gabion/transport/retry"
)

func TestFloor(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1_000_000, 0) // the beginning of a span
	var f retry.Floor
	needs := func(after, want time.Duration) {
		t.Helper()
		if got := f.Needed(start.Add(after)); got != want {
			t.Errorf("after %v it needs %v, want %v", after, got, want)
		}
	}
	needs(0, retry.MinAttempt)
	for i := range 19 {
		f.Record(start, time.Duration(100-i)*ms)
	}
	needs(0, retry.MinAttempt) // too few to tell
	f.Record(start.Add(9*time.Second), 200*ms)
	needs(9*time.Second, 82*ms)
	for range 20 {
		f.Record(start.Add(11*time.Second), 300*ms)
	}
	needs(19*time.Second, 82*ms)  // of the span before
	needs(20*time.Second, 300*ms) // which is forgotten
	needs(30*time.Second, retry.MinAttempt)
	for range 20 {
		f.Record(start.Add(40*time.Second), ms)
	}
	needs(40*time.Second, retry.MinAttempt)
}

// Of many who record at the same time each one's answer counts, whoever begins
// the span.
func TestFloorConcurrently(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for round := range 200 {
		var f retry.Floor
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 10 {
					f.Record(start, time.Duration(100+i*10+j)*time.Millisecond)
				}
			})
		}
		wg.Wait()
		if got := f.Needed(start); got != 100*time.Millisecond {
			t.Fatalf("round %d: needs %v, want 100ms", round, got)
		}
	}
}

func BenchmarkFloor(b *testing.B) {
	var f retry.Floor
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Record(now, 20*time.Millisecond)
			if f.Needed(now) == 0 {
				b.Error("nothing needed")
			}
		}
	})
}

// Nothing is forgotten, nor remembered for longer, when the wall clock steps.
func TestFloorWhenTheClockSteps(t *testing.T) {
	for _, step := range []int{-3600, 3600} {
		var f retry.Floor
		now := time.Now()
		for range 20 {
			f.Record(now, 300*time.Millisecond)
		}
		soon, later := now.Add(time.Second), now.Add(20*time.Second)
		if got := f.Needed(clocktest.Step(soon, step)); got != 300*time.Millisecond {
			t.Errorf("a second and a step of %d s later it needs %v, want 300ms", step, got)
		}
		if got := f.Needed(clocktest.Step(later, step)); got != retry.MinAttempt {
			t.Errorf("20 s and a step of %d s later it needs %v, want %v", step, got, retry.MinAttempt)
		}
	}
}
