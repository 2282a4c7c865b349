package balance_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// shares makes calls one after the other, each taking as long as took says for
// its endpoint, and returns the part that each endpoint got.
func shares(t *testing.T, b *balance.Balancer, calls int, end func(i int) balance.Result) []float64 {
	t.Helper()
	index := map[*balance.Endpoint]int{}
	for i, e := range b.Endpoints() {
		index[e] = i
	}
	got := make([]float64, len(index))
	for range calls {
		e := pick(t, b)
		r := end(index[e])
		time.Sleep(r.Latency)
		e.Done(r)
		got[index[e]] += 1 / float64(calls)
	}
	return got
}

func ewma(t *testing.T, n int, f func(t *testing.T, b *balance.Balancer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, newBalancer(t, balance.Policy{SlowStart: -1, Ejection: balance.Ejection{Disabled: true}}, n,
			balance.WithRand(random.New(1))))
	})
}

func TestSlowIsAvoided(t *testing.T) {
	ewma(t, 5, func(t *testing.T, b *balance.Balancer) {
		slow := func(i int) balance.Result {
			if i == 0 {
				return balance.Result{Latency: 200 * ms}
			}
			return balance.Result{Latency: 10 * ms}
		}
		if got := shares(t, b, 2000, slow)[0]; got > 0.01 {
			t.Errorf("an endpoint that takes 20 times as long got %.2f %% of the calls, want 1 %% at most", 100*got)
		}
		// It is fast again: that is found out, though slowly.
		fast := func(int) balance.Result { return balance.Result{Latency: 10 * ms} }
		shares(t, b, 6000, fast) // a minute
		if got := shares(t, b, 2000, fast)[0]; got < 0.05 {
			t.Errorf("when it was as fast as the others again it got %.2f %%, want its share", 100*got)
		}
	})
}

func TestFailingFastIsNotFast(t *testing.T) {
	ewma(t, 10, func(t *testing.T, b *balance.Balancer) {
		end := func(i int) balance.Result {
			if i == 0 {
				return balance.Result{Latency: ms / 10, Outcome: balance.Failure}
			}
			return balance.Result{Latency: 5 * ms}
		}
		shares(t, b, 200, end) // a second
		if got := shares(t, b, 4000, end)[0]; got > 0.02 {
			t.Errorf("an endpoint that fails at once got %.2f %% of the calls, want 2 %% at most", 100*got)
		}
	})
}

// Nothing has been answered yet, and still the stall shows.
func TestStallShows(t *testing.T) {
	ewma(t, 2, func(t *testing.T, b *balance.Balancer) {
		shares(t, b, 100, func(int) balance.Result { return balance.Result{Latency: 10 * ms} })
		stalled := pick(t, b)
		time.Sleep(100 * ms)
		busy := []*balance.Endpoint{}
		for range 4 { // of four, all go to the other, though it is the busier one
			e := pick(t, b)
			if e == stalled {
				t.Error("a call went to the endpoint that has not answered for 100 ms")
			}
			busy = append(busy, e)
		}
		for _, e := range append(busy, stalled) {
			e.Done(balance.Result{Outcome: balance.Cancelled})
		}
	})
}

// A stream that goes on for long is no stall.
func TestStreamIsNoStall(t *testing.T) {
	ewma(t, 2, func(t *testing.T, b *balance.Balancer) {
		shares(t, b, 100, func(int) balance.Result { return balance.Result{Latency: 10 * ms} })
		stream := pick(t, b)
		time.Sleep(10 * ms)
		stream.Answered(10 * ms)
		time.Sleep(time.Hour)
		other := pick(t, b) // the stream still counts as load
		if other == stream {
			t.Error("the call went to the endpoint with the stream, though the other was idle")
		}
		if e := pick(t, b); e != stream && e != other {
			t.Fatal("who is that?")
		} else {
			e.Done(success)
		}
		other.Done(success)
		stream.Done(balance.Result{Latency: time.Hour, Answered: true})
		if got := shares(t, b, 1000, func(int) balance.Result { return balance.Result{Latency: 10 * ms} }); got[0] < 0.2 || got[1] < 0.2 {
			t.Errorf("after a stream of an hour the shares are %v", got)
		}
	})
}

// An endpoint without history neither draws the herd nor starves.
func TestUnknownGetsItsShare(t *testing.T) {
	ewma(t, 9, func(t *testing.T, b *balance.Balancer) {
		end := func(int) balance.Result { return balance.Result{Latency: 10 * ms} }
		shares(t, b, 500, end)
		b.Update(instances(10))
		if got := shares(t, b, 1000, end)[9]; got < 0.05 || got > 0.15 {
			t.Errorf("a new endpoint of ten got %.1f %% of the calls, want about 10 %%", 100*got)
		}
	})
}

// The share of an endpoint follows its weight when all are equally fast.
func TestWeightsByLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{SlowStart: -1}, 0, balance.WithRand(random.New(1)))
		b.Update(weighted(1, 1, 4))
		got := shares(t, b, 6000, func(int) balance.Result { return balance.Result{Latency: 10 * ms} })
		if got[2] < 0.55 || got[2] > 0.75 {
			t.Errorf("the endpoint of weight 4 of 6 got %.1f %%", 100*got[2])
		}
	})
}

// Times are kept in 32 bits, which wrap while nobody calls for a weekend.
func TestIdleForDays(t *testing.T) {
	for _, idle := range []time.Duration{30 * time.Hour, 60 * time.Hour, 77 * time.Hour, 79 * time.Hour} {
		ewma(t, 2, func(t *testing.T, b *balance.Balancer) {
			shares(t, b, 100, func(i int) balance.Result { return balance.Result{Latency: time.Duration(2-i) * 5 * time.Second} })
			time.Sleep(idle)
			fast := func(int) balance.Result { return balance.Result{Latency: 10 * ms} }
			shares(t, b, 6000, fast) // a minute
			if got := shares(t, b, 1000, fast); got[0] < 0.2 || got[1] < 0.2 {
				t.Errorf("after %v the shares are %v, want both about 0.5", idle, got)
			}
		})
	}
}

// Since when calls wait is known under one policy only.
func TestPolicyComesBack(t *testing.T) {
	ewma(t, 2, func(t *testing.T, b *balance.Balancer) {
		shares(t, b, 100, func(int) balance.Result { return balance.Result{Latency: 10 * ms} })
		setPolicy := func(name string) {
			if err := b.SetPolicy(balance.Policy{Name: name, SlowStart: -1}); err != nil {
				t.Fatal(err)
			}
		}
		setPolicy(balance.P2C)
		time.Sleep(time.Minute)
		first := pick(t, b) // it has not waited for a minute
		setPolicy(balance.PeakEWMA)
		n := 0
		for range 9 {
			if pick(t, b) == first {
				n++
			}
		}
		if n < 3 {
			t.Errorf("of 9 more calls %d went to the endpoint that had one, want about half", n)
		}
	})
}

// Times that are handed in count, not the clock's.
func TestTimesHandedIn(t *testing.T) {
	inBubble(t, leastLoaded, 2, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		later := time.Now().Add(10 * time.Second)
		hit(t, b, all[0]).Done(balance.Result{Outcome: balance.Overload, Rest: time.Second, Now: later})
		picked := func(now time.Time) (n int) {
			for range 40 {
				e, err := b.PickFor(&balance.Call{Now: now})
				if err != nil {
					t.Fatal(err)
				}
				if e == all[0] {
					n++
				}
				e.Done(balance.Result{Latency: ms, Now: now})
			}
			return n
		}
		time.Sleep(5 * time.Second)
		if n := picked(time.Time{}); n != 0 {
			t.Errorf("it rests from 10 s on for a second, but got %d calls after 5 s", n)
		}
		if n := picked(later.Add(time.Minute)); n == 0 {
			t.Error("a minute later it gets no calls")
		}
	})
}
