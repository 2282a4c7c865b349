package breaker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/random"
)

// history returns what becomes of a breaker that opens again and again: its
// open periods, and which calls its ramp lets through.
func history(t *testing.T, src rand.Source) []string {
	t.Helper()
	var got []string
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithRand(src), breaker.WithSubscriber(func(e breaker.Event) {
			got = append(got, fmt.Sprint(e.To, e.OpenFor))
		}))
		for range 5 {
			trip(t, b)
			for b.State() != breaker.Closed {
				time.Sleep(10 * time.Millisecond)
				_ = call(t, b, nil)
			}
			for range 100 {
				time.Sleep(10 * time.Millisecond)
				got = append(got, fmt.Sprint(call(t, b, nil) == nil))
			}
		}
	})
	return got
}

func TestSameSeedSameHistory(t *testing.T) {
	one := history(t, random.New(1))
	if again := history(t, random.New(1)); !slices.Equal(one, again) {
		t.Errorf("the same seed gave\n%v, then\n%v", one, again)
	}
	if two := history(t, random.New(2)); slices.Equal(one, two) {
		t.Error("another seed gave the same")
	}
	if slices.Equal(history(t, nil), history(t, nil)) {
		t.Error("without a source the history repeats")
	}
}
