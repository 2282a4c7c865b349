package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
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
// spread evenly over the whole interval, and no further. By default that is
// 25 ms for the first retry and 50 ms for the second, so that 50 ms hold all of
// them, and 10 ms two and one fifths. To have at most 15 % of 200 in 50 ms takes
// a longer Base.
func TestBackoffSpreads(t *testing.T) {
	var standard retry.Policy
	for _, c := range []struct {
		p           retry.Policy
		n, retry    int
		slot        time.Duration
		least, most float64 // share of the fullest slot
	}{
		{standard, 5000, 1, 50 * ms, 1, 1},
		{standard, 5000, 1, 10 * ms, 0.4, 0.44},
		{standard, 5000, 1, 25 * ms / 20, 0.05, 0.07},
		{standard, 5000, 2, 50 * ms, 0.99, 1},
		{standard, 5000, 2, 10 * ms, 0.2, 0.23},
		{retry.Policy{Base: time.Second}, 200, 1, 50 * ms, 0.05, 0.15},
		{retry.Policy{Base: time.Second}, 5000, 1, 50 * ms, 0.05, 0.07},
	} {
		src := random.New(1)
		wait := func() time.Duration { return c.p.BackoffFrom(c.retry, src) }
		if got := fullest(c.n, c.slot, wait); got < c.least || got > c.most {
			t.Errorf("base %v: %.3f of the retries number %d are in one slot of %v, want %.2f to %.2f",
				c.p.Base, got, c.retry, c.slot, c.least, c.most)
		}
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
