package limit

import (
	"math"
	"testing"
	"time"
)

func mean(w *window) time.Duration { return time.Duration(math.Exp(w.time())) }

// Requests that hang do not make a window slow; a server that is slow does.
func TestWindowOutliers(t *testing.T) {
	usual := float64(10 * time.Millisecond)
	var few, all window
	for i := range 200 {
		took := 10 * time.Millisecond
		if i%100 == 0 {
			took = 30 * time.Second
		}
		few.add(took, usual, false)
		all.add(30*time.Second, usual, false)
	}
	if got := mean(&few); got > 12*time.Millisecond {
		t.Errorf("two of 200 hang: mean %v, want about 10ms", got)
	}
	if got := mean(&all); got < 25*time.Second {
		t.Errorf("all hang: mean %v, want nearly 30s", got)
	}
}

func TestWindowEnough(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		n    int
		last time.Duration
		want bool
	}{
		{200, 99 * time.Millisecond, false},
		{200, 100 * time.Millisecond, true},
		{199, 100 * time.Millisecond, false},
		{50, 250 * time.Millisecond, true},
		{20, time.Second, true},
		{10, 5 * time.Second, true},
		{9, time.Hour, false},
	} {
		w := window{opened: start}
		for range c.n {
			w.add(time.Millisecond, 0, false)
		}
		if got := w.enough(start.Add(c.last)); got != c.want {
			t.Errorf("%d requests in %v: enough %v, want %v", c.n, c.last, got, c.want)
		}
	}
}
