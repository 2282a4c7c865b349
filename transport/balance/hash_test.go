package balance_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

var byHash = []string{balance.RingHash, balance.Maglev, balance.Rendezvous}

// forHashes runs a test of each policy that goes by hash, without slow starts.
func forHashes(t *testing.T, f func(t *testing.T, p balance.Policy)) {
	for _, name := range byHash {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, balance.Policy{Name: name, SlowStart: -1}) })
		})
	}
}

func pickKey(t testing.TB, b *balance.Balancer, key string, tried ...*balance.Endpoint) *balance.Endpoint {
	t.Helper()
	e, err := b.PickFor(&balance.Call{Key: key, Tried: tried})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// owners returns where the calls of each of n keys go, one at a time.
func owners(t testing.TB, b *balance.Balancer, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for k := range ids {
		e := pickKey(t, b, strconv.Itoa(k))
		ids[k] = e.ID()
		e.Done(success)
	}
	return ids
}

// moved counts the keys that have another owner, and calls f for each.
func moved(before, after []string, f func(from, to string)) int {
	n := 0
	for k := range before {
		if before[k] != after[k] {
			n++
			f(before[k], after[k])
		}
	}
	return n
}

func TestKeysHaveOwners(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		b := newBalancer(t, p, 10)
		other, err := balance.New(p) // another client, with a list in another order
		if err != nil {
			t.Fatal(err)
		}
		list := instances(10)
		slices.Reverse(list)
		other.Update(list)
		want := owners(t, b, 2000)
		if got := owners(t, b, 2000); !slices.Equal(got, want) {
			t.Error("the same keys go elsewhere the next time")
		}
		if got := owners(t, other, 2000); !slices.Equal(got, want) {
			t.Error("the same keys go elsewhere on another client")
		}
		count := map[string]int{}
		for _, id := range want {
			count[id]++
		}
		for id, n := range count {
			if n < 130 || n > 270 {
				t.Errorf("%s has %d of 2000 keys, of 10 endpoints", id, n)
			}
		}
	})
}

func TestKeysByWeight(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		b := newBalancer(t, p, 0)
		b.Update(weighted(1, 2, 5))
		count := map[string]int{}
		for _, id := range owners(t, b, 8000) {
			count[id]++
		}
		for i, want := range []float64{1000, 2000, 5000} {
			if got := float64(count[b.Endpoints()[i].ID()]); math.Abs(got-want) > 0.15*want {
				t.Errorf("weight of %v in 8 gets %v of 8000 keys", want/1000, got)
			}
		}
	})
}

// What is ejected hands its keys to all others, and nobody else's move; they
// come back with it.
func TestKeysOfTheEjected(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		p.Ejection.MaxPercent = 100
		b := newBalancer(t, p, 10)
		before := owners(t, b, 2000)
		out := b.Endpoints()[3]
		ejectOne(t, b, out)
		heirs := map[string]int{}
		during := owners(t, b, 2000)
		n := moved(before, during, func(from, to string) {
			heirs[to]++
			if from != out.ID() {
				t.Errorf("a key of %s moves", from)
			}
		})
		if len(heirs) != 9 {
			t.Errorf("%d keys move to %v, want all 9 others", n, heirs)
		}
		for id, got := range heirs {
			if got > n/4 {
				t.Errorf("%s inherits %d of %d keys", id, got, n)
			}
		}
		comeBack(t, b, out)
		if n := moved(before, owners(t, b, 2000), func(string, string) {}); n > 0 {
			t.Errorf("%d keys are elsewhere after it has come back", n)
		}
	})
}

// comeBack waits until e is back in service.
func comeBack(t testing.TB, b *balance.Balancer, e *balance.Endpoint) {
	t.Helper()
	for range 100 {
		if e.State() == balance.Available {
			return
		}
		time.Sleep(time.Second)
		pick(t, b).Done(success)
	}
	t.Fatalf("%s is %v", e.ID(), e.State())
}

// When one of 10 leaves or joins, few keys move that need not. Maglev moves 2 %
// by nature.
func TestKeysWhenTheSetChanges(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		b := newBalancer(t, p, 10)
		before := owners(t, b, 2000)
		b.Update(instances(9))
		others := 0
		moved(before, owners(t, b, 2000), func(from, _ string) {
			if from != "i00009" {
				others++
			}
		})
		if others > 0 && p.Name != balance.Maglev || others > 2000*4/100 {
			t.Errorf("%d of 2000 keys move that need not", others)
		}
		list := instances(10)
		list[9].Weight = -1 // drains: as if it had left
		left := owners(t, b, 2000)
		b.Update(list)
		if n := moved(left, owners(t, b, 2000), func(string, string) {}); n > 0 {
			t.Errorf("%d keys belong to one that drains", n)
		}
		b.Update(instances(10))
		if n := moved(before, owners(t, b, 2000), func(string, string) {}); n > 0 {
			t.Errorf("%d keys are elsewhere once all are back", n)
		}
	})
}

// Attempts of a call go on in the key's own order.
func TestKeysFailOver(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		b := newBalancer(t, p, 6)
		seconds := map[string]bool{}
		for k := range 200 {
			key := strconv.Itoa(k)
			first := pickKey(t, b, key)
			second := pickKey(t, b, key, first)
			third := pickKey(t, b, key, first, second)
			if again := pickKey(t, b, key, first); again != second {
				t.Fatalf("key %s fails over to %s and to %s", key, second.ID(), again.ID())
			} else {
				again.Done(success)
			}
			if first == second || second == third || first == third {
				t.Fatalf("key %s goes to %s, %s and %s", key, first.ID(), second.ID(), third.ID())
			}
			if first == b.Endpoints()[0] {
				seconds[second.ID()] = true
			}
			for _, e := range []*balance.Endpoint{first, second, third} {
				e.Done(success)
			}
		}
		if len(seconds) != 5 {
			t.Errorf("the keys of one fail over to %d others, want all 5", len(seconds))
		}
		// One that rests is passed over as well.
		first := pickKey(t, b, "k")
		second := pickKey(t, b, "k", first)
		second.Done(success)
		first.Done(balance.Result{Outcome: balance.Overload, Rest: maxRest})
		if e := pickKey(t, b, "k"); e != second {
			t.Errorf("with %s resting the key goes to %s, want %s", first.ID(), e.ID(), second.ID())
		}
	})
}

// A hot key fills its owner up to its part of the load, and then the next.
func TestLoadFactor(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		for _, test := range []struct {
			factor float64
			most   int // at the owner, of 100 calls with one key
		}{{0, 40}, {1.25, 25}, {-1, 100}} {
			p.Hash.LoadFactor = test.factor
			b := newBalancer(t, p, 5)
			owner := pickKey(t, b, "hot")
			for range 99 {
				pickKey(t, b, "hot")
			}
			if n := owner.InFlight(); n > test.most || n < test.most*8/10 {
				t.Errorf("factor %v: the owner has %d of 100 calls, want about %d", test.factor, n, test.most)
			}
		}
	})
}

// A few calls with the same key stay together.
func TestLoadFactorLeavesFewCalls(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		b := newBalancer(t, p, 100)
		owner := pickKey(t, b, "k")
		for range 3 {
			pickKey(t, b, "k")
		}
		if n := owner.InFlight(); n != 4 {
			t.Errorf("the owner has %d of 4 calls", n)
		}
		pickKey(t, b, "k")
		if n := owner.InFlight(); n != 4 {
			t.Errorf("the owner has %d of 5 calls, with none anywhere else", n)
		}
	})
}

// The bound is by weight: a light endpoint is full sooner.
func TestLoadFactorByWeight(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		p.Hash.LoadFactor = 1.25
		b := newBalancer(t, p, 0)
		b.Update(weighted(10, 30))
		light, key := b.Endpoints()[0], ""
		for k := 0; key == ""; k++ {
			e := pickKey(t, b, strconv.Itoa(k))
			if e == light {
				key = strconv.Itoa(k)
			}
			e.Done(success)
		}
		for range 400 {
			pickKey(t, b, key)
		}
		if n := light.InFlight(); n < 120 || n > 126 {
			t.Errorf("%d of 400 calls are in flight at the owner, want 125", n)
		}
	})
}

type request map[string]string

func (r request) Header(name string) string { return r["header "+name] }
func (r request) Cookie(name string) string { return r["cookie "+name] }
func (r request) Query(name string) string  { return r["query "+name] }

func TestWhereKeysAre(t *testing.T) {
	p := balance.Policy{Name: balance.RingHash, Hash: balance.Hash{
		By: []balance.Source{{Header: "User"}, {Cookie: "session"}, {Query: "id"}},
	}}
	b := newBalancer(t, p, 50)
	for name, test := range map[string]struct {
		call balance.Call
		want string // the key
	}{
		"header":    {balance.Call{Request: request{"header User": "u", "cookie session": "s"}}, "u"},
		"cookie":    {balance.Call{Request: request{"cookie session": "s", "query id": "q"}}, "s"},
		"query":     {balance.Call{Request: request{"query id": "q"}}, "q"},
		"given":     {balance.Call{Key: "k", Request: request{"header User": "u"}}, "k"},
		"no key":    {balance.Call{Request: request{"header Other": "u"}}, ""},
		"no source": {balance.Call{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[*balance.Endpoint]bool{}
			for range 100 {
				e, err := b.PickFor(&test.call)
				if err != nil {
					t.Fatal(err)
				}
				e.Done(success)
				seen[e] = true
			}
			switch {
			case test.want == "" && len(seen) < 30:
				t.Errorf("100 calls without a key go to %d of 50 endpoints", len(seen))
			case test.want != "" && (len(seen) != 1 || !seen[pickKey(t, b, test.want)]):
				t.Errorf("100 calls go to %d endpoints, want the one of %q", len(seen), test.want)
			}
		})
	}
}

// A key has one owner even if it is in another zone.
func TestKeysAndZones(t *testing.T) {
	forHashes(t, func(t *testing.T, p balance.Policy) {
		list := instances(12)
		for i := range list {
			list[i].Zone = fmt.Sprint("zone", min(i/3, 2)) // 3, 3 and 6: some calls leave zone0
		}
		b := newBalancer(t, p, 0, balance.WithCaller(balance.Caller{Zone: "zone0"}))
		b.Update(list)
		zones := map[string]int{}
		for k := range 300 {
			key := strconv.Itoa(k)
			e := pickKey(t, b, key)
			e.Done(success)
			zones[e.Instance().Zone]++
			for range 5 {
				again := pickKey(t, b, key)
				if again.Done(success); again != e {
					t.Fatalf("key %s goes to %s and to %s", key, e.ID(), again.ID())
				}
			}
		}
		if zones["zone0"] < 180 || zones["zone0"] > 270 || zones["zone2"] == 0 {
			t.Errorf("300 keys go to %v, want 3/4 of them to zone0", zones)
		}
	})
}

// The keys of a new endpoint come to it slowly.
func TestKeysStartSlowly(t *testing.T) {
	for _, name := range byHash {
		synctest.Test(t, func(t *testing.T) {
			b := newBalancer(t, balance.Policy{Name: name}, 9)
			b.Update(instances(10))
			n := 0
			for _, id := range owners(t, b, 5000) {
				if id == "i00009" {
					n++
				}
			}
			if n < 20 || n > 100 {
				t.Errorf("%s: the new one of 10 gets %d of 5000 calls, want a tenth of its share of 500", name, n)
			}
		})
	}
}

// More endpoints than slots are no error: keys are ranked.
func TestMaglevWithFewSlots(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: balance.Maglev, Hash: balance.Hash{Slots: 7}}, 10)
	ranked := newBalancer(t, balance.Policy{Name: balance.Rendezvous}, 10)
	if !slices.Equal(owners(t, b, 1000), owners(t, ranked, 1000)) {
		t.Error("keys are not ranked")
	}
}

func TestHashValidate(t *testing.T) {
	for name, h := range map[string]balance.Hash{
		"by 1":            {By: []balance.Source{{}}},
		"by 2":            {By: []balance.Source{{Header: "a"}, {Header: "a", Query: "b"}}},
		"load_factor":     {LoadFactor: 0.5},
		"load_factor NaN": {LoadFactor: math.NaN()},
		"slots":           {Slots: 10},
		"min_points":      {MinPoints: -1},
	} {
		if err := (balance.Policy{Hash: h}).Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, h)
		}
	}
	if err := (balance.Policy{Hash: balance.Hash{LoadFactor: -1}}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	for _, name := range byHash {
		b := newBalancer(t, balance.Policy{Name: name, Hash: balance.Hash{By: []balance.Source{{Query: "id"}}}}, 30)
		call := balance.Call{Request: request{"query id": "q"}}
		var busy []*balance.Endpoint
		for range 300 { // the owner is full, and others are asked
			e, _ := b.PickFor(&call)
			busy = append(busy, e)
		}
		call.Tried = busy[:1]
		if n := testing.AllocsPerRun(1000, func() {
			e, _ := b.PickFor(&call)
			e.Done(success)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
