package experiments

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
)

// What a busy machine cannot change: who is called.
func TestTail(t *testing.T) {
	leaktest.Check(t)
	for _, policy := range Tail().Policies {
		run := tail{policy: policy, seed: 1, length: time.Second, timeout: time.Minute, tell: func(string, ...any) {}}
		row, err := run.run(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", policy, err)
		}
		figures := map[string]float64{}
		for _, f := range row.Extra {
			figures[f.Name] = f.Value
		}
		slow, failing := figures["to_slow"], figures["to_failing"]
		switch policy {
		case bound:
			if slow != 0 || failing != 0 {
				t.Errorf("%s: to slow %v, to failing %v, want none", policy, slow, failing)
			}
		case roundRobin:
			if slow < 0.09 || slow > 0.11 || failing < 0.09 || failing > 0.11 {
				t.Errorf("%s: to slow %v, to failing %v, want a tenth each", policy, slow, failing)
			}
		}
		if _, ok := figures["within_20ms"]; !ok || *row.Success <= 0 || *row.AttemptsPerCall <= 0 {
			t.Errorf("%s: success %v, attempts per call %v, figures %v", policy, *row.Success, *row.AttemptsPerCall, figures)
		}
	}
}

// The slow and the failing replica change places, and nobody else does.
func TestTailSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := &tail{swap: 10 * time.Second, start: time.Now()}
		for range 4 {
			for number, want := range map[int]int{1: 1, tailFailing: tailFailing, tailSlow: tailSlow} {
				if odd := time.Since(run.start)/run.swap%2 == 1; odd && want != 1 {
					want = tailSlow + tailFailing - want
				}
				if got := (&tailReplica{tail: run, number: number}).role(); got != want {
					t.Errorf("after %v replica %d is %d, want %d", time.Since(run.start), number, got, want)
				}
			}
			time.Sleep(run.swap)
		}
	})
}

// What one attempt meets follows from the seed and its numbers alone.
func TestTailChance(t *testing.T) {
	draw := func(replica int, seed, request, attempt uint64) float64 {
		return (&tailReplica{tail: &tail{seed: seed}, number: replica}).chance(request, attempt).Float64()
	}
	first := draw(9, 1, 7, 1)
	if again := draw(9, 1, 7, 1); again != first {
		t.Errorf("got %v and %v for the same attempt", first, again)
	}
	for name, other := range map[string]float64{
		"replica": draw(8, 1, 7, 1), "seed": draw(9, 2, 7, 1), "request": draw(9, 1, 8, 1), "attempt": draw(9, 1, 7, 2),
	} {
		if other == first {
			t.Errorf("another %s draws the same", name)
		}
	}
	sum := 0.0
	for request := range uint64(2000) {
		sum += (&tailReplica{tail: &tail{seed: 1}, number: 1}).chance(request, 1).ExpFloat64()
	}
	if mean := sum / 2000; mean < 0.9 || mean > 1.1 {
		t.Errorf("the mean is %v, want 1", mean)
	}
}

// A run that is interrupted leaves nothing behind.
func TestTailInterrupted(t *testing.T) {
	leaktest.Check(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	run := tail{policy: whole, seed: 1, length: time.Hour, timeout: time.Minute, tell: func(string, ...any) {}}
	if _, err := run.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}
