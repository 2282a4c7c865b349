package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestConstantArrivals(t *testing.T) {
	got := slices.Collect(arrivals(4, time.Second, nil))
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPoissonArrivals(t *testing.T) {
	const rate, seconds = 100, 100
	seq := func() []time.Duration {
		return slices.Collect(arrivals(rate, seconds*time.Second, rand.New(rand.NewPCG(1, 2))))
	}
	got := seq()
	if n := float64(len(got)); math.Abs(n-rate*seconds) > 5*math.Sqrt(rate*seconds) {
		t.Errorf("%v arrivals, want about %v", n, rate*seconds)
	}
	if !slices.IsSorted(got) {
		t.Error("not in order")
	}
	// The variance of a Poisson count is its mean; an even one has none.
	var perSecond [seconds]float64
	for _, at := range got {
		perSecond[int(at/time.Second)]++
	}
	var variance float64
	for _, n := range perSecond {
		variance += (n - rate) * (n - rate) / seconds
	}
	if variance < rate/2 || variance > rate*2 {
		t.Errorf("variance %v, want about %v", variance, rate)
	}
	if !slices.Equal(got, seq()) {
		t.Error("the same seed gave other arrivals")
	}
}
