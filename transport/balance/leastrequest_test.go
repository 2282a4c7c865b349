package balance_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// Nobody gets a call who has more in flight than another.
func TestLeastRequestTakesTheLeast(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 10)
	var flying []*balance.Endpoint
	for n := range 5000 {
		least := 1 << 30
		for _, e := range b.Endpoints() {
			least = min(least, e.InFlight())
		}
		e := pick(t, b)
		if got := e.InFlight() - 1; got != least {
			t.Fatalf("call %d goes where %d are in flight, and not where %d are", n, got, least)
		}
		flying = append(flying, e)
		if n%3 != 0 {
			i := n * 7 % len(flying)
			flying[i].Done(success)
			flying[i] = flying[len(flying)-1]
			flying = flying[:len(flying)-1]
		}
	}
}

// The least among those that were not tried gets the call.
func TestLeastRequestOfTheUntried(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 5)
	es := b.Endpoints()
	fill(t, b, es[0], 9, es[1:]...)
	for range 20 {
		pick(t, b, es[0], es[1])
	}
	for range 100 { // es[1] is idle, and was tried
		e := pick(t, b, es[1])
		if e.InFlight() > min(es[2].InFlight(), es[3].InFlight(), es[4].InFlight())+1 {
			t.Fatalf("the call goes where %d are in flight", e.InFlight())
		}
		e.Done(success)
	}
}

// With unequal weights the call goes to the one that is the least busy for its
// weight with it, unless nobody would be less busy than one is without it.
func TestLeastRequestRule(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 0)
	weights := []int{10, 10, 4, 1, 1}
	b.Update(weighted(weights...))
	var flying []*balance.Endpoint
	for n := range 3000 {
		least := math.Inf(1)
		for i, e := range b.Endpoints() {
			least = min(least, float64(e.InFlight()+1)/float64(weights[i]))
		}
		e := pick(t, b)
		i := slices.Index(b.Endpoints(), e)
		w, before := float64(weights[i]), float64(e.InFlight()-1)
		if (before+1)/w > least && before/w > least {
			t.Fatalf("call %d goes where %v are in flight for a weight of %v", n, before, w)
		}
		flying = append(flying, e)
		if n%5 > 2 {
			k := n * 7 % len(flying)
			flying[k].Done(success)
			flying = slices.Delete(flying, k, k+1)
		}
	}
}

// Of those that are less busy than the one whose turn it is, the call goes to the
// least busy by weight, though another has fewer in flight.
func TestLeastRequestGoesByWeight(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 0)
	b.Update(weighted(10, 10, 1))
	es := b.Endpoints()
	fill(t, b, es[0], 40, es[1], es[2])
	fill(t, b, es[1], 5, es[0], es[2])
	fill(t, b, es[2], 1, es[0], es[1])
	for range 30 {
		e := pick(t, b)
		if e != es[1] {
			t.Errorf("the call goes to the one of weight %d with %d in flight", e.Instance().Weight, e.InFlight()-1)
		}
		e.Done(success)
	}
}

// fill sends n calls to e, by having all others tried.
func fill(t testing.TB, b *balance.Balancer, e *balance.Endpoint, n int, others ...*balance.Endpoint) {
	t.Helper()
	for range n {
		if got := pick(t, b, others...); got != e {
			t.Fatalf("the call goes to %s, want %s", got.ID(), e.ID())
		}
	}
}

// Equals take turns.
func TestLeastRequestRotates(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 4)
	for e, n := range calls(t, b, 400, success) {
		if n != 100 {
			t.Errorf("%s has had %d of 400 calls", e.ID(), n)
		}
	}
}

// With unequal weights the calls in flight follow the weights once there are
// many.
func TestLeastRequestByWeight(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 0)
	b.Update(weighted(10, 10, 5, 1))
	for range 2600 {
		pick(t, b)
	}
	for i, want := range []int{1000, 1000, 500, 100} {
		if got := b.Endpoints()[i].InFlight(); got < want-10 || got > want+10 {
			t.Errorf("%d calls in flight, want about %d", got, want)
		}
	}
}

// One that never answers gets no more than those that do have in flight.
func TestLeastRequestLeavesTheStuck(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 0)
	b.Update(weighted(2, 1, 1))
	stuck := b.Endpoints()[1]
	for range 1000 {
		if e := pick(t, b); e != stuck {
			e.Done(success)
		}
	}
	if n := stuck.InFlight(); n > 1 {
		t.Errorf("%d calls hang where none is answered", n)
	}
}

// A new endpoint among busy ones fills up as slowly as its share grows.
func TestLeastRequestStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Name: balance.LeastRequest}, 4)
		for range 400 {
			pick(t, b) // and stays
		}
		b.Update(instances(5))
		for range 50 {
			pick(t, b)
		}
		late := b.Endpoints()[4]
		if n := late.InFlight(); n > 12 {
			t.Errorf("the new one has %d calls at once, where the others have 100", n)
		}
		time.Sleep(balance.DefaultSlowStart)
		for range 100 {
			pick(t, b)
		}
		if n := late.InFlight(); n < 90 {
			t.Errorf("the new one has %d calls at last, where the others have 100", n)
		}
	})
}
