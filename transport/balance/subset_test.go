package balance_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/balance/subset"
)

// callers returns the balancers of n callers that know of each other, and use
// parts of 10.
func callers(t *testing.T, n int, policy balance.Policy, list []discovery.Instance) []*balance.Balancer {
	t.Helper()
	peers := make([]discovery.Instance, n)
	for i := range peers {
		peers[i] = discovery.Instance{ID: fmt.Sprintf("web-%d", i), Service: "web"}
	}
	policy.Subset.Size = 10
	all := make([]*balance.Balancer, n)
	for i := range all {
		c := balance.Caller{Service: "web", ID: peers[i].ID}
		b, err := balance.New(policy, balance.WithCaller(c))
		if err != nil {
			t.Fatal(err)
		}
		b.SetPeers(balance.PeersOf(c, peers))
		b.Update(list)
		all[i] = b
	}
	return all
}

func ids(b *balance.Balancer) []string {
	var list []string
	for _, e := range b.Endpoints() {
		list = append(list, e.ID())
	}
	return list
}

// TestSubset has 300 callers that use 10 of 300 endpoints each. Every endpoint
// has as many callers as any other, within one, and one that leaves changes at
// most one endpoint of a caller's.
func TestSubset(t *testing.T) {
	list := instances(300)
	all := callers(t, 300, balance.Policy{}, list)
	before := make([][]string, len(all))
	for i, b := range all {
		before[i] = ids(b)
	}
	check := func(size int) {
		t.Helper()
		used := map[string]int{}
		for _, b := range all {
			if n := len(b.Endpoints()); n != 10 {
				t.Fatalf("a caller uses %d endpoints, want 10", n)
			}
			for _, id := range ids(b) {
				used[id]++
			}
		}
		least, most := 1<<30, 0
		for _, n := range used {
			least, most = min(least, n), max(most, n)
		}
		if len(used) != size || most-least > 1 {
			t.Errorf("%d of %d endpoints are used, by %d to %d callers", len(used), size, least, most)
		}
	}
	check(300)
	for _, b := range all {
		b.Update(slices.Delete(slices.Clone(list), 150, 151))
	}
	check(299)
	for i, b := range all {
		gone := slices.DeleteFunc(before[i], func(id string) bool { return slices.Contains(ids(b), id) })
		if len(gone) > 1 {
			t.Errorf("caller %d changes %d endpoints", i, len(gone))
		}
	}
}

// What is known of endpoints survives a change of the policy and of the peers,
// and those that are not used are gone.
func TestSubsetChanges(t *testing.T) {
	b := callers(t, 10, balance.Policy{}, instances(100))[3]
	kept := b.Endpoints()
	if err := b.SetPolicy(balance.Policy{Subset: balance.Subset{Disabled: true}}); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Endpoints()); n != 100 {
		t.Fatalf("%d endpoints without a subset", n)
	}
	for _, e := range kept {
		if !slices.Contains(b.Endpoints(), e) {
			t.Errorf("%s is another endpoint", e.ID())
		}
	}
	if err := b.SetPolicy(balance.Policy{Subset: balance.Subset{Size: 10}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Endpoints(), kept) {
		t.Errorf("the subset was %v and is %v", kept, b.Endpoints())
	}
	b.SetPeers(balance.Peers{Place: subset.Client{ID: "somebody", Group: "else"}})
	if now := b.Endpoints(); len(now) != 10 || slices.Equal(now, kept) {
		t.Errorf("as another caller it uses %v", now)
	}
	b.Update(instances(49))
	if n := len(b.Endpoints()); n != 49 {
		t.Errorf("%d of 49 endpoints are used", n)
	}
}

// Each part of a split has a subset of its own: a canary of one instance among
// hundreds is in all of them.
func TestSubsetsOfSplits(t *testing.T) {
	list := instances(201)
	for i := range 100 {
		list[i].Version = "v1"
		list[i+100].Version = "v2"
	}
	list[200].Version = "v3"
	all := callers(t, 5, balance.Policy{
		Select: balance.Selector{Meta: map[string]string{"used": "yes"}},
		Splits: []balance.Split{{To: []balance.Share{
			{Selector: balance.Selector{Version: "v2"}, Percent: 10},
			{Selector: balance.Selector{Version: "v3"}, Percent: 1},
		}}},
	}, nil)
	for i := range list {
		list[i].Meta = map[string]string{"used": "yes"}
	}
	list = append(list, discovery.Instance{ID: "unused", Addr: "1.1.1.1:1", Version: "v3"})
	for _, b := range all {
		b.Update(list)
		versions := map[string]int{}
		for _, e := range b.Endpoints() {
			versions[e.Instance().Version+e.Instance().Meta["used"]]++
		}
		if versions["v1yes"] != 10 || versions["v2yes"] != 10 || versions["v3yes"] != 1 || versions["v3"] != 1 {
			t.Errorf("endpoints by version: %v", versions)
		}
	}
}

// The instances that get shadows have a subset too, whether they get calls or
// not; and callers that go by hash use all.
func TestSubsetsOfShadows(t *testing.T) {
	list := instances(400)
	for i := range list {
		list[i].Version = "v1"
	}
	for i := range 100 {
		list[i].Version = "v2"
	}
	for name, p := range map[string]balance.Policy{
		"calls too": {Shadow: balance.Shadow{Select: balance.Selector{Version: "v2"}, Percent: 1}},
		"no calls": {
			Shadow: balance.Shadow{Select: balance.Selector{Version: "v2"}, Percent: 1},
			Select: balance.Selector{Version: "v1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, b := range callers(t, 3, p, list) {
				shadows := 0
				for _, e := range b.Endpoints() {
					if e.Instance().Version == "v2" {
						shadows++
					}
				}
				if n := len(b.Endpoints()); n != 20 || shadows != 10 {
					t.Errorf("%d endpoints, %d of them for shadows; want 20 and 10", n, shadows)
				}
			}
		})
	}
	for _, b := range callers(t, 2, balance.Policy{Name: balance.Maglev}, list) {
		if n := len(b.Endpoints()); n != 400 || b.WantsPeers() {
			t.Errorf("%d endpoints by hash, want 400", n)
		}
	}
}

// The size counts at once, a part of the calls with few instances has them all,
// and the order is that of the list.
func TestSubsetSizes(t *testing.T) {
	list := instances(140)
	for i := range list {
		list[i].Version = []string{"v1", "v1", "v1", "v2"}[i%4] // 105 and 35
	}
	p := balance.Policy{Splits: []balance.Split{{To: []balance.Share{to("v2", 10)}}}}
	b, err := balance.New(p, balance.WithCaller(balance.Caller{ID: "me"}))
	if err != nil {
		t.Fatal(err)
	}
	b.Update(list)
	for _, size := range []int{20, 30} {
		p.Subset.Size = size
		if err := b.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		if n := len(b.Endpoints()); n != size+35 {
			t.Errorf("%d endpoints are used, want %d and 35", n, size)
		}
		if !slices.IsSorted(ids(b)) {
			t.Error("the order is another")
		}
	}
}

// What drains takes no place in a subset.
func TestSubsetWithoutDraining(t *testing.T) {
	list := instances(100)
	for i := range 90 {
		list[i].Weight = -1
	}
	for i := range 20 {
		b, err := balance.New(balance.Policy{Subset: balance.Subset{MinEndpoints: 8, Size: 3}},
			balance.WithCaller(balance.Caller{ID: fmt.Sprint(i)}))
		if err != nil {
			t.Fatal(err)
		}
		b.Update(list)
		wantStats(t, b, balance.Stats{Available: 3, Draining: 90})
	}
}

// Callers that know nothing of themselves do not all use the same part, and each
// keeps its own.
func TestSubsetsOfUnknownCallers(t *testing.T) {
	used := map[string]bool{}
	for range 20 {
		b, err := balance.New(balance.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		b.Update(instances(60))
		part := ids(b)
		for _, id := range part {
			used[id] = true
		}
		b.SetPeers(balance.PeersOf(balance.Caller{}, instances(3)))
		b.Update(instances(60))
		if !slices.Equal(ids(b), part) {
			t.Error("the part has changed")
		}
	}
	if len(used) < 50 {
		t.Errorf("20 callers use %d of 60 endpoints", len(used))
	}
}

// Peers may be known without the caller's place among them.
func TestPeersWithoutPlace(t *testing.T) {
	var parts [][]string
	for _, c := range []balance.Caller{{Service: "web", ID: "web-1"}, {Service: "web", ID: "web-2"}} {
		b, err := balance.New(balance.Policy{}, balance.WithCaller(c))
		if err != nil {
			t.Fatal(err)
		}
		b.Update(instances(60))
		part := ids(b)
		b.SetPeers(balance.Peers{Zones: map[string]int{"a": 2}})
		if !slices.Equal(ids(b), part) {
			t.Errorf("the part of %s has changed", c.ID)
		}
		parts = append(parts, part)
	}
	if slices.Equal(parts[0], parts[1]) {
		t.Error("both use the same part")
	}
}

// Peers that drain call no more, and need nothing in their zone.
func TestPeersOf(t *testing.T) {
	list := []discovery.Instance{{ID: "a", Zone: "x"}, {ID: "b", Zone: "x", Weight: -1}, {ID: "c", Zone: "y", Weight: 3}}
	p := balance.PeersOf(balance.Caller{Service: "web", ID: "c"}, list)
	if len(p.Zones) != 2 || p.Zones["x"] != 1 || p.Zones["y"] != 1 || p.Place != subset.Among("web", "c", []string{"a", "b", "c"}) {
		t.Errorf("%+v", p)
	}
}

func TestWantsPeers(t *testing.T) {
	zoned := instances(10)
	zoned[3].Zone = "b"
	here := balance.Caller{Zone: "a"}
	for name, c := range map[string]struct {
		caller balance.Caller
		policy balance.Policy
		list   []discovery.Instance
		want   bool
	}{
		"few":              {here, balance.Policy{}, instances(10), false},
		"many":             {balance.Caller{}, balance.Policy{}, instances(50), true},
		"many, all used":   {here, balance.Policy{Subset: balance.Subset{Disabled: true}}, instances(50), false},
		"zones":            {here, balance.Policy{}, zoned, true},
		"zones, nowhere":   {balance.Caller{}, balance.Policy{}, zoned, false},
		"zones, too few":   {here, balance.Policy{Zones: balance.Zones{MinEndpoints: 11}}, zoned, false},
		"zones, all alike": {here, balance.Policy{Zones: balance.Zones{Disabled: true}}, zoned, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := balance.New(c.policy, balance.WithCaller(c.caller))
			if err != nil {
				t.Fatal(err)
			}
			b.Update(c.list)
			if got := b.WantsPeers(); got != c.want {
				t.Errorf("%t, want %t", got, c.want)
			}
		})
	}
}
