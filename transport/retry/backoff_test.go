package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

const ms = time.Millisecond

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		p     retry.Policy
		retry int
		bound time.Duration
	}{
		{retry.Policy{}, 0, 25 * ms},
		{retry.Policy{}, 1, 25 * ms},
		{retry.Policy{}, 2, 50 * ms},
		{retry.Policy{}, 4, 200 * ms},
		{retry.Policy{}, 5, 250 * ms},
		{retry.Policy{}, math.MaxInt, 250 * ms},
		{retry.Policy{Base: time.Second}, 3, time.Second},
		{retry.Policy{Cap: 10 * ms}, 1, 10 * ms},
		{retry.Policy{Base: 1, Cap: math.MaxInt64 - 1}, 2, 2},
	} {
		var sum, most time.Duration
		const n = 3000
		for range n {
			d := c.p.Backoff(c.retry)
			if d < 0 || d > c.bound {
				t.Fatalf("%+v retry %d waits %v, want 0 to %v", c.p, c.retry, d, c.bound)
			}
			sum += d / n
			most = max(most, d)
		}
		if c.bound < ms {
			continue
		}
		if sum < c.bound*45/100 || sum > c.bound*55/100 || most < c.bound*95/100 {
			t.Errorf("%+v retry %d waits %v on average and %v at most, of %v", c.p, c.retry, sum, most, c.bound)
		}
	}
}

// fullest returns the largest share of n waits that end in one slot.
func fullest(n int, slot time.Duration, wait func() time.Duration) float64 {
	slots := map[time.Duration]int{}
	most := 0
	for range n {
		s := wait() / slot
		slots[s]++
		most = max(most, slots[s])
	}
	return float64(most) / float64(n)
}

// Clients that fail together do not come back together: their retries are
// spread evenly over the whole interval. With a second of it, no 50 ms hold
// more than 15 % of 200.
func TestBackoffSpreads(t *testing.T) {
	p := retry.Policy{Base: time.Second}
	if got := fullest(200, 50*ms, func() time.Duration { return p.Backoff(1) }); got > 0.15 {
		t.Errorf("%.2f of the retries are in one 50 ms slot", got)
	}
	var standard retry.Policy // the same relative to the shorter default
	if got := fullest(2000, 25*ms/20, func() time.Duration { return standard.Backoff(1) }); got > 0.15 {
		t.Errorf("%.2f of the retries are in a twentieth of the interval", got)
	}
}

// A thousand clients that are told "1 s" come back later than that, and not
// all in one 100 ms slot.
func TestJitterUp(t *testing.T) {
	for range 1000 {
		if d := retry.JitterUp(time.Second); d < time.Second || d > 1200*ms {
			t.Fatalf("told 1 s, back after %v", d)
		}
	}
	if got := fullest(1000, 100*ms, func() time.Duration { return retry.JitterUp(time.Second) }); got > 0.6 {
		t.Errorf("%.2f come back in one 100 ms slot", got)
	}
	for _, d := range []time.Duration{0, -time.Second} {
		if got := retry.JitterUp(d); got != 0 {
			t.Errorf("JitterUp(%v) = %v", d, got)
		}
	}
	if got := retry.JitterUp(1); got != 1 {
		t.Errorf("JitterUp(1ns) = %v", got)
	}
}

func BenchmarkBackoff(b *testing.B) {
	var p retry.Policy
	b.ReportAllocs()
	for b.Loop() {
		p.Backoff(2)
	}
}
