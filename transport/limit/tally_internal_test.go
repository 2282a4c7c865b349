package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is counted is what a list of all calls would count, and the short cut
// agrees with it.
func TestTallies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			part     uint64
			accepted bool
		}
		w := &tallies{width: time.Second}
		var calls []call
		now := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			now += time.Duration(rapid.IntRange(0, int(8*time.Second)).Draw(t, "later"))
			c := call{uint64(now / time.Second), rapid.IntRange(0, 9).Draw(t, "of ten") > 0}
			calls = append(calls, c)
			w.add(now, c.accepted)
			var all, recent counts
			for _, c := range calls {
				accepts := uint64(0)
				if c.accepted {
					accepts = 1
				}
				age := uint64(now/time.Second) - c.part
				if age < tallyCount {
					all.requests, all.accepts = all.requests+1, all.accepts+accepts
				}
				if age < 2 {
					recent.requests, recent.accepts = recent.requests+1, recent.accepts+accepts
				}
			}
			gotAll, gotRecent := w.sum(now)
			if gotAll != all || gotRecent != recent {
				t.Fatalf("at %v: %+v and %+v, want %+v and %+v", now, gotAll, gotRecent, all, recent)
			}
			if got, want := w.clean(now), all.requests == all.accepts; got != want {
				t.Fatalf("at %v: clean %v with %+v", now, got, all)
			}
		}
	})
}

// A part that is full counts nothing more: the ratio stays.
func TestTallyIsFull(t *testing.T) {
	w := &tallies{width: time.Second}
	w.parts[0].Store((countMask-1)<<countBits | countMask/2)
	for range 3 {
		w.add(0, true)
	}
	all, _ := w.sum(0)
	if all.requests != countMask || all.accepts != countMask/2+1 {
		t.Errorf("%+v", all)
	}
}
