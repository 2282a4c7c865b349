package balance_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/balance"
)

var policies = []string{balance.PeakEWMA, balance.P2C, balance.LeastRequest, balance.RoundRobin, balance.WeightedRoundRobin, balance.Prequal, balance.Random,
	balance.RingHash, balance.Maglev, balance.Rendezvous}

func TestEvenSpread(t *testing.T) {
	for _, name := range policies {
		for _, n := range []int{1, 2, 3, 10} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				b := newBalancer(t, balance.Policy{Name: name}, n)
				const each = 3000
				count := calls(t, b, n*each, success)
				for _, e := range b.Endpoints() {
					if got := count[e]; math.Abs(float64(got-each)) > 0.1*each {
						t.Errorf("%s got %d of %d calls", e.ID(), got, n*each)
					}
				}
			})
		}
	}
}

// Shares follow the weights when calls come one at a time, and when there are
// always some in flight.
func TestWeights(t *testing.T) {
	for _, name := range policies {
		for _, concurrent := range []int{1, 20} {
			for _, weights := range [][]int{{1, 3}, {99, 1}, {0, 2, 5}, {10, 10, 10, 1}} {
				t.Run(fmt.Sprint(name, concurrent, weights), func(t *testing.T) {
					b := newBalancer(t, balance.Policy{Name: name}, 0)
					b.Update(weighted(weights...))
					const total = 20000
					count := map[*balance.Endpoint]int{}
					var flying []*balance.Endpoint
					for range total {
						e := pick(t, b)
						count[e]++
						if flying = append(flying, e); len(flying) == concurrent {
							flying[0].Done(success)
							flying = flying[1:]
						}
					}
					sum := 0
					for _, w := range weights {
						sum += max(w, 1)
					}
					for i, e := range b.Endpoints() {
						want := float64(max(weights[i], 1)) / float64(sum)
						got := float64(count[e]) / total
						// P2C gives the light less when all are busy.
						if got-want > 0.25*want || want-got > 0.5*want {
							t.Errorf("weight %d of %d gets %.4f of the calls, want %.4f", weights[i], sum, got, want)
						}
					}
				})
			}
		}
	}
}

func TestDrainedByWeight(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 0)
	b.Update(weighted(-1, 1, 1))
	drained := b.Endpoints()[0]
	wantState(t, drained, balance.Draining)
	wantStats(t, b, balance.Stats{Available: 2, Draining: 1})
	if n := calls(t, b, 1000, success)[drained]; n > 0 {
		t.Errorf("%d calls to a draining endpoint", n)
	}
	b.Update(weighted(1, 1, 1))
	if b.Endpoints()[0] != drained {
		t.Error("a change of weight made a new endpoint")
	}
	if n := calls(t, b, 1000, success)[drained]; n == 0 {
		t.Error("no calls after the weight came back")
	}
	b.Update(weighted(-1, -1))
	if _, err := b.Pick(nil); !errors.Is(err, balance.ErrNoInstances) {
		t.Errorf("all drained: %v", err)
	}
}

func TestNoInstances(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 0)
	if _, err := b.Pick(nil); !errors.Is(err, balance.ErrNoInstances) {
		t.Errorf("got %v", err)
	}
}

// None that was tried is picked while there is another, rested or not.
func TestTried(t *testing.T) {
	for _, name := range policies {
		for _, n := range []int{1, 2, 3, 7} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				b := newBalancer(t, balance.Policy{Name: name}, 0)
				weights := []int{1000, 1, 1, 1, 1, 1, 1}[:n]
				b.Update(weighted(weights...))
				for round := range 300 {
					var tried []*balance.Endpoint
					for range n {
						e := pick(t, b, tried...)
						if slices.Contains(tried, e) {
							t.Fatalf("picked %s again after %d of %d", e.ID(), len(tried), n)
						}
						tried = append(tried, e)
						e.Done(success)
					}
					pick(t, b, tried...).Done(success) // all tried: any will do
					if round == 150 {                  // from now on one of them rests
						give(t, b, b.Endpoints()[n-1], balance.Result{Outcome: balance.Overload, Rest: maxRest}, 1)
					}
				}
			})
		}
	}
}

const maxRest = 30_000 * ms

// The less loaded gets the call: an endpoint that never answers gets another one
// only beside an endpoint that has as many in flight.
func TestLeastLoaded(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 10)
	stuck := b.Endpoints()[3]
	var flying []*balance.Endpoint
	most := 0 // in flight at any other
	for range 10_000 {
		if e := pick(t, b); e != stuck {
			flying = append(flying, e)
			most = max(most, e.InFlight())
		}
		if len(flying) == 20 {
			flying[0].Done(success)
			flying = flying[1:]
		}
	}
	if n := stuck.InFlight(); n > most+1 {
		t.Errorf("%d calls hang at the endpoint that does not answer, while no other had more than %d", n, most)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, name := range policies {
		b := newBalancer(t, balance.Policy{Name: name}, 0)
		b.Update(weighted(1, 2, 3, 4, 5))
		tried := []*balance.Endpoint{b.Endpoints()[0]}
		if n := testing.AllocsPerRun(1000, func() {
			e, _ := b.Pick(tried)
			e.Done(failure)
			e, _ = b.Pick(nil)
			e.Done(success)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
