package balance_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// asked is a request with headers and nothing else.
type asked map[string]string

func (a asked) Header(name string) string { return a[name] }
func (asked) Cookie(string) string        { return "" }
func (asked) Query(string) string         { return "" }

// TestExplain has one endpoint for every reason to be passed over.
func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := instances(16)
		for i := range list {
			list[i].Version, list[i].Zone = "v2", "here"
		}
		list[0].Weight = -1
		list[1].Version = "v1"
		list[2].Zone = "there"
		list[8].Version = "v3"
		b, err := balance.New(balance.Policy{
			Name:   balance.P2C,
			Select: balance.Selector{},
			Splits: []balance.Split{{
				When: balance.Condition{Source: balance.Source{Header: "Canary"}},
				To:   []balance.Share{{Selector: balance.Selector{Version: "v2"}, Percent: 100}},
			}},
		}, balance.WithCaller(balance.Caller{Zone: "here"}), balance.WithRand(random.New(1)))
		if err != nil {
			t.Fatal(err)
		}
		b.SetPeers(balance.Peers{Zones: map[string]int{"here": 1, "there": 9}})
		b.Update(list)
		all := b.Endpoints()
		ejectOne(t, b, all[3])
		cutOff(t, b, all[4])
		hit(t, b, all[5]).Done(balance.Result{Outcome: balance.Overload, Rest: time.Second})

		call := balance.Call{Tried: all[6:8], Request: asked{"Canary": "yes"}}
		x := b.Explain(call)
		want := map[balance.Exclusion]int{
			balance.ExcludedDraining: 1, balance.ExcludedOtherPart: 2, balance.ExcludedOtherZone: 1,
			balance.ExcludedEjected: 1, balance.ExcludedUnreachable: 1, balance.ExcludedResting: 1, balance.ExcludedTried: 2,
		}
		if !maps.Equal(x.Excluded, want) {
			t.Errorf("excluded %v, want %v", x.Excluded, want)
		}
		for i, why := range []balance.Exclusion{
			balance.ExcludedDraining, balance.ExcludedOtherPart, balance.ExcludedOtherZone, balance.ExcludedEjected,
			balance.ExcludedUnreachable, balance.ExcludedResting, balance.ExcludedTried, balance.ExcludedTried,
			balance.ExcludedOtherPart, "",
		} {
			if got := x.Endpoints[i].Excluded; got != why {
				t.Errorf("%s is excluded for %q, want %q", x.Endpoints[i].Instance.ID, got, why)
			}
		}
		if len(x.Endpoints) != 16 || x.Policy != balance.P2C || x.Part != "split 1 share 1" || x.Zone != "here" || x.Panic {
			t.Errorf("%+v", x)
		}
		if x.Reason != balance.ByPolicy || len(x.Compared) != 2 || x.Chosen.Excluded != "" || x.Chosen.Instance.ID == "" {
			t.Errorf("chosen %+v by %s of %+v", x.Chosen, x.Reason, x.Compared)
		}
	})
}

// What a pick tells is about that pick.
func TestExplainedPick(t *testing.T) {
	inBubble(t, balance.Policy{}, 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		slow := hit(t, b, all[0])
		time.Sleep(time.Second)
		slow.Done(balance.Result{Latency: time.Second})
		for _, e := range all[1:] {
			hit(t, b, e).Done(balance.Result{Latency: 10 * ms})
		}
		for range 20 {
			x := &balance.Explanation{}
			e, err := b.PickFor(&balance.Call{Explain: x})
			if err != nil {
				t.Fatal(err)
			}
			if x.Chosen.Instance.ID != e.ID() || len(x.Compared) != 2 || x.Endpoints != nil {
				t.Fatalf("picked %s, explained as %+v", e.ID(), x)
			}
			other := x.Compared[0]
			if other.Instance.ID == x.Chosen.Instance.ID {
				other = x.Compared[1]
			}
			if x.Chosen.Cost > other.Cost || x.Chosen.Cost == 0 || x.Chosen.Latency == 0 {
				t.Errorf("chosen %+v before %+v", x.Chosen, other)
			}
			e.Done(balance.Result{Latency: 10 * ms})
		}
	})
}

func TestExplainReasons(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		ejectOne(t, b, all[0])
		time.Sleep(12 * time.Second)
		if x := b.Explain(balance.Call{}); x.Reason != balance.ByPolicy {
			t.Errorf("nobody risks a call, but it went by %s", x.Reason)
		}
		x := &balance.Explanation{}
		e, err := b.PickFor(&balance.Call{Explain: x})
		if err != nil {
			t.Fatal(err)
		}
		if e != all[0] || x.Reason != balance.ByProbe || x.Chosen.State != balance.Ejected {
			t.Errorf("%s by %s: %+v", e.ID(), x.Reason, x.Chosen)
		}
		if x := b.Explain(balance.Call{Tried: all}); x.Reason != balance.BySearch {
			t.Errorf("with all tried it is by %s", x.Reason)
		}
		b.Update(nil)
		if x := b.Explain(balance.Call{}); x.Chosen.Instance.ID != "" || len(x.Endpoints) != 0 {
			t.Errorf("without endpoints: %+v", x)
		}
	})
}

// A call for a part that has no untried endpoint goes elsewhere, and says so.
func TestExplainFailOver(t *testing.T) {
	list := []discovery.Instance{
		{ID: "a", Addr: "1.1.1.1:1", Version: "v1"}, {ID: "b", Addr: "1.1.1.1:2", Version: "v2"},
	}
	b := newBalancer(t, balance.Policy{Splits: []balance.Split{{
		To: []balance.Share{{Selector: balance.Selector{Version: "v2"}, Percent: 100}},
	}}}, 0)
	b.Update(list)
	if x := b.Explain(balance.Call{}); x.Chosen.Instance.ID != "b" || x.Reason != balance.ByPolicy {
		t.Errorf("chosen %s by %s", x.Chosen.Instance.ID, x.Reason)
	}
	if x := b.Explain(balance.Call{Tried: b.Endpoints()[1:]}); x.Chosen.Instance.ID != "a" || x.Reason != balance.ByFailOver {
		t.Errorf("chosen %s by %s", x.Chosen.Instance.ID, x.Reason)
	}
}

// Where nobody elsewhere is better a call stays in its zone, and says so.
func TestExplainStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, leastLoaded, 0, balance.WithCaller(balance.Caller{Zone: "a"}))
		b.Update(inZones([]string{"a", "b"}, []int{3, 3}))
		here, there := b.Endpoints()[:3], b.Endpoints()[3:]
		rest := balance.Result{Outcome: balance.Overload, Rest: time.Second}
		for _, e := range here {
			hit(t, b, e).Done(rest)
		}
		if x := b.Explain(balance.Call{}); x.Reason != balance.ByFailOver || x.Zone != "" || x.Chosen.Instance.Zone != "b" {
			t.Errorf("all here rest: %s in zone %q by %s", x.Chosen.Instance.ID, x.Zone, x.Reason)
		}
		for _, e := range there {
			hit(t, b, e).Done(rest)
		}
		x := b.Explain(balance.Call{})
		if x.Reason != balance.BySearch || x.Zone != "a" || x.Chosen.Instance.Zone != "a" || x.Chosen.Excluded != balance.ExcludedResting {
			t.Errorf("all rest: %+v in zone %q by %s", x.Chosen, x.Zone, x.Reason)
		}
		if x.Excluded[balance.ExcludedOtherZone] != 3 || x.Excluded[balance.ExcludedResting] != 2 {
			t.Errorf("excluded %v", x.Excluded)
		}
	})
}

// Where all endpoints are in one zone, zones do not matter.
func TestExplainOneZone(t *testing.T) {
	b := newBalancer(t, leastLoaded, 0, balance.WithCaller(balance.Caller{Zone: "a"}))
	b.Update(inZones([]string{"a"}, []int{8}))
	if x := b.Explain(balance.Call{}); x.Zone != "" || x.Chosen.Instance.ID == "" {
		t.Errorf("chosen %s in zone %q", x.Chosen.Instance.ID, x.Zone)
	}
}

// An explanation that is used again tells of the last pick only.
func TestExplainAgain(t *testing.T) {
	b := newBalancer(t, leastLoaded, 20)
	x := &balance.Explanation{}
	for range 10 {
		e, err := b.PickFor(&balance.Call{Explain: x})
		if err != nil {
			t.Fatal(err)
		}
		e.Done(success)
		if len(x.Compared) != 2 || x.Chosen.Instance.ID != e.ID() {
			t.Fatalf("%d compared, %s chosen", len(x.Compared), x.Chosen.Instance.ID)
		}
	}
	b.Update(nil)
	if _, err := b.PickFor(&balance.Call{Explain: x}); err == nil || x.Chosen.Instance.ID != "" || x.Reason != "" {
		t.Errorf("without endpoints: %v, %+v", err, x)
	}
}

// Nobody who does not ask pays.
func TestExplainCostsNothingWhenOff(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 100)
	if n := testing.AllocsPerRun(1000, func() { pick(t, b).Done(success) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
