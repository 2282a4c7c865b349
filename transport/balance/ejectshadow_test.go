package balance_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// A shadow counts what real ejection would do, and leaves nobody out.
func TestShadowEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := balance.Policy{Name: balance.RoundRobin, SlowStart: -1, Ejection: balance.Ejection{Shadow: true, Base: 10 * time.Second}}
		b := newBalancer(t, p, 4)
		e := b.Endpoints()[0]
		want := func(what string, n uint64) {
			t.Helper()
			wantState(t, e, balance.Available)
			if s, got := b.Stats(), b.ShadowEjections(); got != n || s.Ejected != 0 || s.Available != 4 {
				t.Fatalf("%s: %d ejections, %+v; want %d and all available", what, got, s, n)
			}
		}
		give(t, b, e, failure, 4)
		want("four in a row", 0)
		give(t, b, e, failure, 1)
		want("five in a row", 1)
		give(t, b, e, failure, 50)
		want("while it would be out", 1)
		give(t, b, b.Endpoints()[1], failure, 5)
		want("another, where only one may be out", 1)
		time.Sleep(11 * time.Second) // 10 s, and up to a tenth
		give(t, b, e, failure, 5)
		want("when it would be back", 2)
		time.Sleep(19 * time.Second)
		give(t, b, e, failure, 5)
		want("the second lasts twice as long", 2)
		time.Sleep(4 * time.Second)
		give(t, b, e, failure, 5)
		want("then once more", 3)

		p.Ejection.Shadow = false
		if err := b.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 5 && e.State() == balance.Available; n++ { // or sooner, as an outlier
			give(t, b, e, failure, 1)
		}
		wantState(t, e, balance.Ejected)
		p.Ejection.Shadow = true
		if err := b.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		want("back in the shadow", 3)
	})
}

// Outliers of an interval count too, and those that cannot be connected to are
// left out all the same.
func TestShadowOutliers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, inTurn(balance.Ejection{Shadow: true}), 5)
		rounds(t, b, 210, 21*time.Second, []int{0, 0, 90, 0, 0})
		if got := b.ShadowEjections(); got != 1 {
			t.Errorf("%d ejections, want 1", got)
		}
		if got := ejectedBy(b); got != nil {
			t.Errorf("ejected: %v", got)
		}
		cutOff(t, b, b.Endpoints()[0])
		wantState(t, b.Endpoints()[0], balance.Unreachable)
	})
}
