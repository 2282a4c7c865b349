package balance_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// inBubble runs a test in virtual time with a balancer of n endpoints.
func inBubble(t *testing.T, p balance.Policy, n int, test func(*testing.T, *balance.Balancer, []*balance.Endpoint)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, p, n)
		test(t, b, b.Endpoints())
	})
}

// awaitRisk sleeps until a call is risked on e, and returns how long that took.
// Other calls succeed, one each millisecond.
func awaitRisk(t *testing.T, b *balance.Balancer, e *balance.Endpoint, most time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) <= most {
		got := pick(t, b)
		if got == e {
			return time.Since(began)
		}
		got.Done(success)
		time.Sleep(ms)
	}
	t.Fatalf("no call is risked on %s (%v) within %v", e.ID(), e.State(), most)
	return 0
}

func within(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s after %v, want %v to %v", what, got, least, most)
	}
}

func TestEjection(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		sick := all[4]
		give(t, b, sick, failure, 2)
		give(t, b, sick, timeout, 2)
		give(t, b, sick, success, 1) // not in a row
		give(t, b, sick, failure, 4)
		wantState(t, sick, balance.Available)
		give(t, b, sick, timeout, 1)
		wantState(t, sick, balance.Ejected)
		wantStats(t, b, balance.Stats{Available: 9, Ejected: 1})

		for n := range time.Duration(4) { // each longer than the one before
			d := awaitRisk(t, b, sick, time.Minute)
			within(t, "risked", d, (n+1)*10*time.Second-5*ms, (n+1)*11*time.Second+5*ms)
			sick.Done(failure)
			wantState(t, sick, balance.Ejected)
		}
		awaitRisk(t, b, sick, time.Minute)
		sick.Done(success)
		wantState(t, sick, balance.Available)
		wantStats(t, b, balance.Stats{Available: 10})

		time.Sleep(10*time.Minute + ms) // long enough to forget all five
		give(t, b, sick, failure, 5)
		within(t, "risked", awaitRisk(t, b, sick, time.Minute), 10*time.Second-5*ms, 11*time.Second+5*ms)
		sick.Done(success)
	})
}

func TestEjectionIsBounded(t *testing.T) {
	for _, c := range []struct{ endpoints, ejected int }{{1, 0}, {2, 0}, {3, 1}, {5, 1}, {7, 2}, {10, 3}, {100, 30}} {
		inBubble(t, leastLoaded, c.endpoints, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
			calls(t, b, 3000, failure)
			if s := b.Stats(); s.Ejected != c.ejected || s.Available != c.endpoints-c.ejected || s.Panic {
				t.Errorf("%d endpoints that all fail: %+v, want %d ejected", c.endpoints, s, c.ejected)
			}
		})
	}
}

func TestEjectionDisabled(t *testing.T) {
	off := balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{Disabled: true}}
	inBubble(t, off, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		calls(t, b, 3000, failure)
		wantStats(t, b, balance.Stats{Available: 10})
	})
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		ejectOne(t, b, all[0])
		if err := b.SetPolicy(off); err != nil {
			t.Fatal(err)
		}
		wantStats(t, b, balance.Stats{Available: 10})
	})
}

func TestUnreachable(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		gone := all[7]
		give(t, b, gone, refused, 1)
		wantState(t, gone, balance.Available)
		if n := calls(t, b, 1000, success)[gone]; n > 0 {
			t.Errorf("%d calls right after a connect error", n)
		}
		time.Sleep(301 * ms)
		give(t, b, gone, refused, 1)
		wantState(t, gone, balance.Unreachable)
		wantStats(t, b, balance.Stats{Available: 9, Unreachable: 1})

		delay := 250 * ms
		for range 9 {
			within(t, "risked", awaitRisk(t, b, gone, time.Minute), delay-2*ms, delay*12/10+2*ms)
			gone.Done(refused)
			delay = min(2*delay, 10*time.Second)
		}
		awaitRisk(t, b, gone, time.Minute)
		gone.Done(success)
		wantState(t, gone, balance.Available)
	})
}

// However many cannot be connected to, they are left out, unless it is all.
func TestUnreachableWithoutCap(t *testing.T) {
	inBubble(t, leastLoaded, 4, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for _, e := range all[:3] {
			cutOff(t, b, e)
		}
		wantStats(t, b, balance.Stats{Available: 1, Unreachable: 3, Panic: true})
		if n := calls(t, b, 100, success)[all[3]]; n != 100 {
			t.Errorf("%d of 100 calls to the only one that can be connected to", n)
		}
		cutOff(t, b, all[3])
		wantStats(t, b, balance.Stats{Unreachable: 4, Panic: true})
		if n := len(calls(t, b, 1000, cancelled)); n != 4 {
			t.Errorf("calls to %d endpoints, want all 4: no other way to find out", n)
		}
		// All come back: the first that does is not left to carry everything.
		time.Sleep(10 * time.Second)
		calls(t, b, 1, success)
		for range 3 {
			time.Sleep(11 * ms)
			calls(t, b, 1, success)
		}
		wantStats(t, b, balance.Stats{Available: 4})
	})
}

// An answer, even a bad one, shows that an endpoint can be connected to.
func TestUnreachableAnswers(t *testing.T) {
	inBubble(t, leastLoaded, 4, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		cutOff(t, b, all[0])
		awaitRisk(t, b, all[0], time.Second)
		all[0].Done(failure)
		wantState(t, all[0], balance.Available)
		cutOff(t, b, all[1])
		awaitRisk(t, b, all[1], time.Second)
		all[1].Done(timeout)
		wantState(t, all[1], balance.Unreachable)
	})
}

// When a call may be risked, one of a thousand callers gets the endpoint. If
// nothing is heard of it, another does when the lease is over; if it ends
// without a result, the next one does.
func TestRiskIsLeased(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		sick := all[0]
		ejectOne(t, b, sick)
		crowd := func() int {
			before := sick.InFlight()
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if e := pick(t, b); e != sick {
						e.Done(success)
					}
				})
			}
			wg.Wait()
			return sick.InFlight() - before
		}
		time.Sleep(11 * time.Second)
		for i, c := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {time.Second, 0}, {3 * time.Second, 0}, {time.Second, 1}, {0, 0}} {
			time.Sleep(c.after)
			if got := crowd(); got != c.want {
				t.Fatalf("crowd %d: %d calls risked, want %d", i, got, c.want)
			}
		}
		sick.Done(cancelled)
		wantState(t, sick, balance.Ejected)
		if got := crowd(); got != 0 {
			t.Fatalf("%d calls risked right after one was cancelled, want 0", got)
		}
		time.Sleep(250 * ms)
		if got := crowd(); got != 1 {
			t.Fatalf("%d calls risked after one was cancelled, want 1", got)
		}
		sick.Done(success)
		wantState(t, sick, balance.Available)
		sick.Done(success)
	})
}

// Retries are not risked, and results of calls that began before an ejection
// do not end it.
func TestRiskOnlyWithFreshCalls(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		sick := all[0]
		old := hit(t, b, sick)
		ejectOne(t, b, sick)
		old.Done(success)
		wantState(t, sick, balance.Ejected)
		time.Sleep(11 * time.Second)
		for range 1000 {
			if e := pick(t, b, all[1]); e == sick {
				t.Fatal("a retry went to an ejected endpoint")
			} else {
				e.Done(success)
			}
		}
		if e := pick(t, b); e != sick {
			t.Fatalf("a first attempt went to %s", e.ID())
		}
		sick.Done(success)
	})
}

// Who asks to be left alone is, while others can serve, and for 30 s at most.
func TestRest(t *testing.T) {
	inBubble(t, leastLoaded, 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		busy := all[1]
		give(t, b, busy, balance.Result{Outcome: balance.Overload, Rest: time.Hour}, 1)
		wantState(t, busy, balance.Available)
		for range 29 {
			if n := calls(t, b, 200, success)[busy]; n > 0 {
				t.Fatalf("%d calls to a resting endpoint", n)
			}
			time.Sleep(time.Second)
		}
		for _, e := range []*balance.Endpoint{all[0], all[2]} {
			give(t, b, e, balance.Result{Outcome: balance.Overload, Rest: time.Second}, 1)
		}
		if n := len(calls(t, b, 300, success)); n != 3 {
			t.Errorf("all rest: calls to %d endpoints, want 3", n)
		}
		time.Sleep(8 * time.Second) // 37 s, and the jitter is a fifth
		if n := calls(t, b, 300, success)[busy]; n == 0 {
			t.Error("no calls after the rest")
		}
	})
}

// Overload never ejects, and a cancelled call neither hurts nor heals.
func TestOutcomesThatDoNotEject(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		calls(t, b, 2000, balance.Result{Outcome: balance.Overload})
		wantStats(t, b, balance.Stats{Available: 5})
		calls(t, b, 2000, cancelled)
		wantStats(t, b, balance.Stats{Available: 5})
		e := all[0]
		give(t, b, e, failure, 4)
		give(t, b, e, cancelled, 10)
		wantState(t, e, balance.Available)
		give(t, b, e, failure, 1)
		wantState(t, e, balance.Ejected)
		time.Sleep(11 * time.Second)
		awaitRisk(t, b, e, time.Second)
		e.Done(cancelled)
		wantState(t, e, balance.Ejected)
	})
}

// An endpoint that fails at once must not look like the least busy one.
func TestFailingFastLooksBusy(t *testing.T) {
	for name, c := range map[string]struct {
		every int // one of so many calls fails
		most  float64
	}{"always": {1, 0.02}, "one in three": {3, 0.03}} {
		t.Run(name, func(t *testing.T) {
			p := balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{Disabled: true}}
			inBubble(t, p, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				sick := all[0]
				var total, to int
				var wg sync.WaitGroup
				for i := range 20_000 { // 500 a second, 10 ms each where healthy
					e := pick(t, b)
					if i > 1000 {
						total++
						if e == sick {
							to++
						}
					}
					if e == sick && i%c.every == 0 {
						e.Done(failure)
					} else {
						wg.Go(func() { time.Sleep(10 * ms); e.Done(success) })
					}
					time.Sleep(2 * ms)
				}
				wg.Wait()
				if share := float64(to) / float64(total); share > c.most {
					t.Errorf("%.4f of the calls go to the failing endpoint, want %v at most", share, c.most)
				}
			})
		})
	}
}

// A failure is forgotten: the endpoint gets its share again soon.
func TestFailureFades(t *testing.T) {
	inBubble(t, leastLoaded, 4, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		give(t, b, all[0], failure, 4)
		time.Sleep(20 * time.Second)
		if n := calls(t, b, 4000, success)[all[0]]; n < 800 {
			t.Errorf("%d of 4000 calls, want about 1000", n)
		}
	})
}

// Concurrent failures eject once.
func TestConcurrentFailures(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		var flying []*balance.Endpoint
		for range 1000 {
			flying = append(flying, pick(t, b))
		}
		var wg sync.WaitGroup
		for _, e := range flying {
			wg.Go(func() { e.Done(failure) })
		}
		wg.Wait()
		if s := b.Stats(); s.Ejected != 3 || s.Available != 7 {
			t.Errorf("%+v, want 3 ejected", s)
		}
		i := slices.IndexFunc(all, func(e *balance.Endpoint) bool { return e.State() == balance.Ejected })
		within(t, "risked", awaitRiskAny(t, b, all[i]), 10*time.Second, 12*time.Second)
	})
}

// awaitRiskAny is awaitRisk where other endpoints are ejected too.
func awaitRiskAny(t *testing.T, b *balance.Balancer, e *balance.Endpoint) time.Duration {
	t.Helper()
	defer e.Done(cancelled)
	return awaitRisk(t, b, e, time.Minute)
}

// When all could not be connected to for long, and one can again, calls are
// risked on the others at once: it must not carry everything for long.
func TestFirstBackDoesNotCarryAll(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * ms) {
			calls(t, b, 10, refused)
		}
		wantStats(t, b, balance.Stats{Unreachable: 10, Panic: true})
		for b.Stats().Available == 0 {
			calls(t, b, 1, success)
			time.Sleep(ms)
		}
		for range 10 {
			time.Sleep(11 * ms)
			calls(t, b, 1, success)
		}
		if s := b.Stats(); s.Available < 6 {
			t.Errorf("%+v 110 ms after the first came back", s)
		}
	})
}

func TestLastIsNeverEjected(t *testing.T) {
	p := balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{MaxPercent: 100}}
	inBubble(t, p, 4, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		cutOff(t, b, all[0])
		calls(t, b, 1000, failure)
		wantStats(t, b, balance.Stats{Available: 1, Ejected: 2, Unreachable: 1, Panic: true})
	})
}

// Ejections that began together do not end together: the clients of an endpoint
// do not all come back at the same time.
func TestEjectionsEndOneByOne(t *testing.T) {
	const clients = 200
	synctest.Test(t, func(t *testing.T) {
		slots := map[time.Duration]int{}
		for seed := range uint64(clients) {
			b := newBalancer(t, balance.Policy{Name: balance.RoundRobin}, 3, balance.WithRand(random.New(seed)))
			sick := b.Endpoints()[0]
			ejectOne(t, b, sick)
			time.Sleep(10*time.Second - ms)
			slots[awaitRisk(t, b, sick, 2*time.Second)/(100*ms)]++
			sick.Done(success)
		}
		for slot, n := range slots {
			if n > clients/5 {
				t.Errorf("%d of %d clients return in the same 100 ms, %v after the end", n, clients, slot*100*ms)
			}
		}
	})
}

// A registry that loses an instance for a moment says nothing about its health:
// it comes back as ejected as it was. After a minute it has been forgotten.
func TestEjectionOutlastsDiscovery(t *testing.T) {
	without := func(b *balance.Balancer) {
		list := instances(4)
		b.Update(append(list[:1:1], list[2:]...))
	}
	for name, c := range map[string]struct {
		away time.Duration
		want balance.State
		same bool
	}{
		"for a moment":     {0, balance.Ejected, true},
		"for five seconds": {5 * time.Second, balance.Ejected, true},
		"for a minute":     {time.Minute, balance.Ejected, true}, // until a call is risked on it
		"for longer":       {time.Minute + ms, balance.Available, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, leastLoaded, 4, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				sick := all[1]
				ejectOne(t, b, sick)
				began := time.Now()
				without(b)
				wantStats(t, b, balance.Stats{Available: 3})
				time.Sleep(c.away)
				b.Update(instances(4))
				back := b.Endpoints()[1]
				wantState(t, back, c.want)
				if (back == sick) != c.same {
					t.Errorf("the same endpoint: %v, want %v", back == sick, c.same)
				}
				if c.want == balance.Ejected {
					awaitRisk(t, b, back, time.Minute)
					within(t, "risked", time.Since(began), 10*time.Second, max(11*time.Second, c.away)+5*ms)
					back.Done(success)
				}
			})
		})
	}
}
