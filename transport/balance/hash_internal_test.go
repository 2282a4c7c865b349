package balance

import (
	"fmt"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

// hashing returns a balancer with n endpoints, and its picker.
func hashing(t *testing.T, n int) (*Balancer, hashed) {
	t.Helper()
	b, err := New(Policy{Name: RingHash, SlowStart: -1})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]discovery.Instance, n)
	for i := range list {
		list[i] = discovery.Instance{ID: fmt.Sprint(i), Addr: fmt.Sprint("10.0.0.", i, ":80")}
	}
	b.Update(list)
	return b, b.view.Load().base.set.picker.(hashed)
}

// While the sum lags behind, all may seem to be too busy. Then the owner is.
func TestOwnerIfAllSeemBusy(t *testing.T) {
	b, p := hashing(t, 80)
	for _, e := range b.Endpoints() {
		for range freeLoad {
			e.inflight.begin()
		}
	}
	for k := range uint64(100) {
		p.load.looks.Store(1) // just added up, when nothing was in flight
		e := b.choose(b.view.Load(), b.view.Load().base, 0, &Call{Key: fmt.Sprint(k)})
		if owner := b.Endpoints()[p.table.Lookup((&Hash{}).of(&Call{Key: fmt.Sprint(k)}))]; e != owner {
			t.Fatalf("key %d goes to %s, want its owner %s", k, e.ID(), owner.ID())
		}
	}
}

// The sum is right once in so many looks that a look takes a constant time.
func TestLoadSum(t *testing.T) {
	b, p := hashing(t, 80)
	s := b.view.Load().base.set
	for look := range 100 {
		want := look / 10 * 10
		if got := p.load.of(s); got != want {
			t.Fatalf("look %d: %d in flight, want %d", look, got, want)
		}
		s.active[look%80].inflight.begin()
	}
}

// A table is made anew only if members or weights have changed.
func TestTableIsKept(t *testing.T) {
	b, p := hashing(t, 10)
	table := func() *hashTable { return b.view.Load().base.set.picker.(hashed).table }
	e := b.Endpoints()[3]
	b.mu.Lock()
	b.eject(e, b.now(), ConsecutiveFailures)
	b.mu.Unlock()
	if table() != p.table {
		t.Error("an ejection makes a new table")
	}
	list := make([]discovery.Instance, 10)
	for i, e := range b.Endpoints() {
		list[i] = e.Instance()
		list[i].Tags = []string{"new"}
	}
	b.Update(list)
	if table() != p.table {
		t.Error("a list with the same members and weights makes a new table")
	}
	list[0].Weight = 7
	b.Update(list)
	if table() == p.table {
		t.Error("a weight makes no new table")
	}
	p.table = table()
	if err := b.SetPolicy(Policy{Name: Rendezvous}); err != nil {
		t.Fatal(err)
	}
	if table() == p.table {
		t.Error("another kind makes no new table")
	}
}

// Endpoints are found in any order.
func TestPlaces(t *testing.T) {
	var es []*Endpoint
	for range 4 {
		es = append(es, &Endpoint{})
	}
	for _, test := range []struct {
		some []*Endpoint
		want []int32
	}{
		{es, []int32{0, 1, 2, 3}},
		{es[1:3], []int32{-1, 0, 1, -1}},
		{[]*Endpoint{es[2], es[0]}, []int32{1, -1, 0, -1}},
		{nil, []int32{-1, -1, -1, -1}},
	} {
		if got := places(es, test.some); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("got %v, want %v", got, test.want)
		}
	}
}
