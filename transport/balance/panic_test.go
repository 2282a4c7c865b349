package balance_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// Envoy's panic threshold: with less than healthy_panic_threshold (50 %) of the
// hosts available, all are used. The same; the numbers are those of its table of
// priority levels, for a service with one. Envoy turns it off with a threshold
// of 0, which for us is the default; 1 % does the same, for with none available
// there is nothing better than to use all. Envoy's uses hosts that cannot be
// connected to as well; ours leaves those out, unless that is all.
func TestPanicVectors(t *testing.T) {
	for _, c := range []struct {
		threshold, endpoints, healthy int
		want                          bool
	}{
		{0, 100, 100, false}, {0, 100, 72, false}, {0, 100, 71, false}, {0, 100, 51, false},
		{0, 100, 50, false}, {0, 100, 49, true}, {0, 100, 25, true}, {0, 100, 1, true},
		{0, 2, 1, false}, {0, 3, 2, false}, {0, 3, 1, true}, {0, 5, 3, false}, {0, 5, 2, true},
		{30, 10, 3, false}, {30, 10, 2, true}, {90, 10, 9, false}, {90, 10, 8, true},
		{1, 100, 1, false}, {100, 10, 9, true}, {100, 10, 10, false},
	} {
		p := balance.Policy{Name: balance.RoundRobin, Ejection: balance.Ejection{MaxPercent: 100, PanicPercent: c.threshold}}
		inBubble(t, p, c.endpoints, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
			failTogether(t, b, all[c.healthy:])
			wantStats(t, b, balance.Stats{Available: c.healthy, Ejected: c.endpoints - c.healthy, Panic: c.want})
			want := c.healthy
			if c.want {
				want = c.endpoints
			}
			if got := len(calls(t, b, 20*c.endpoints, cancelled)); got != want {
				t.Errorf("%d of %d healthy: calls to %d, want %d", c.healthy, c.endpoints, got, want)
			}
		})
	}
}

// When every endpoint fails, ejecting them helps nobody: calls go to all, and
// that is told. When they work again they are in use again.
func TestAllFail(t *testing.T) {
	for name, c := range map[string]struct {
		outcome balance.Outcome
		percent int // of the set that may be ejected
		fair    int // endpoints that get about as many calls as the others
		panics  bool
	}{
		"within the limit": {balance.Failure, 0, 7, false},
		"without a limit":  {balance.Failure, 100, 10, true},
		"nobody answers":   {balance.Timeout, 100, 10, true},
		"nobody connects":  {balance.ConnectError, 0, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []bool
				p := balance.Policy{Ejection: balance.Ejection{MaxPercent: c.percent}}
				b := newBalancer(t, p, 10, balance.WithObserver(balance.Observer{Panic: func(on bool) { told = append(told, on) }}))
				openLoop(t, b, 100, 10*time.Second, fails(c.outcome, ms))
				count := openLoop(t, b, 100, time.Minute, fails(c.outcome, ms))
				fair := 0
				for _, e := range b.Endpoints() {
					if 10*count.share(e) > 0.5 {
						fair++
					}
				}
				if len(count) < 10 || fair < c.fair {
					t.Errorf("calls to %d endpoints, half of a fair share or more to %d; want 10 and %d", len(count), fair, c.fair)
				}
				if got := b.Stats().Panic; got != c.panics || c.panics != slices.Contains(told, true) {
					t.Errorf("panic %v, told %v, want %v", got, told, c.panics)
				}
				openLoop(t, b, 100, 3*time.Minute, alike(ms))
				wantStats(t, b, balance.Stats{Available: 10})
				if c.panics && told[len(told)-1] {
					t.Error("nobody was told that the panic is over")
				}
			})
		})
	}
}

// Panic is for those that fail, not for those that cannot be connected to, and
// ends by calls that are risked.
func TestPanic(t *testing.T) {
	p := balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{MaxPercent: 100}}
	inBubble(t, p, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for _, e := range all[:5] {
			ejectOne(t, b, e)
		}
		wantStats(t, b, balance.Stats{Available: 5, Ejected: 5})
		if n := len(calls(t, b, 1000, success)); n != 5 {
			t.Errorf("calls to %d endpoints, want the 5 healthy", n)
		}
		ejectOne(t, b, all[5])
		wantStats(t, b, balance.Stats{Available: 4, Ejected: 6, Panic: true})
		time.Sleep(time.Second)
		cutOff(t, b, all[6])
		count := map[*balance.Endpoint]bool{}
		var flying []*balance.Endpoint
		for range 500 {
			flying = append(flying, pick(t, b))
		}
		for _, e := range flying {
			count[e] = true
			e.Done(cancelled)
		}
		if len(count) != 9 || count[all[6]] {
			t.Errorf("calls to %d endpoints, want the 9 that can be connected to", len(count))
		}
		time.Sleep(15 * time.Second)
		for range 100 {
			calls(t, b, 100, success)
			time.Sleep(11 * ms)
		}
		wantStats(t, b, balance.Stats{Available: 10})
	})
}
