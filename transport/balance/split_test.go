package balance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// ofVersions returns a balancer of n endpoints of each version.
func ofVersions(t *testing.T, p balance.Policy, n int, names ...string) *balance.Balancer {
	t.Helper()
	b := newBalancer(t, p, 0)
	var list []discovery.Instance
	for _, v := range names {
		for i := range n {
			list = append(list, discovery.Instance{
				ID: fmt.Sprintf("%s-%d", v, i), Addr: fmt.Sprintf("%s-%d:80", v, i), Version: v,
				Tags: []string{"all", "only-" + v}, Meta: map[string]string{"build": v},
			})
		}
	}
	b.Update(list)
	return b
}

// known returns the instances that b knows.
func known(b *balance.Balancer) (list []discovery.Instance) {
	for _, e := range b.Endpoints() {
		list = append(list, e.Instance())
	}
	return list
}

// byVersion makes n calls and returns which part of them goes to each version.
func byVersion(t *testing.T, b *balance.Balancer, n int, request func(i int) balance.Request) map[string]float64 {
	t.Helper()
	parts := map[string]float64{}
	for i := range n {
		c := balance.Call{}
		if request != nil {
			c.Request = request(i)
		}
		e, err := b.PickFor(&c)
		if err != nil {
			t.Fatal(err)
		}
		parts[e.Instance().Version] += 1 / float64(n)
		e.Done(success)
	}
	return parts
}

func to(version string, percent float64) balance.Share {
	return balance.Share{Selector: balance.Selector{Version: version}, Percent: percent}
}

func TestSplits(t *testing.T) {
	when := func(header, value string) balance.Condition {
		return balance.Condition{Source: balance.Source{Header: header}, Value: value}
	}
	header := func(name, value string) func(int) balance.Request {
		return func(int) balance.Request { return asked{name: value} }
	}
	canary := []balance.Split{{To: []balance.Share{to("v2", 5)}}}
	forced := []balance.Split{
		{When: when("X-Version", "v2"), To: []balance.Share{to("v2", 100)}},
		{When: when("X-Any", ""), To: []balance.Share{to("v3", 100)}},
		{To: []balance.Share{to("v1", 100)}},
	}
	for name, c := range map[string]struct {
		splits  []balance.Split
		request func(int) balance.Request
		want    map[string]float64
	}{
		"none":                   {nil, nil, map[string]float64{"v1": 1.0 / 3, "v2": 1.0 / 3, "v3": 1.0 / 3}},
		"canary":                 {canary, nil, map[string]float64{"v2": 0.05, "v1": 0.475, "v3": 0.475}},
		"shares":                 {[]balance.Split{{To: []balance.Share{to("v1", 70), to("v2", 30)}}}, nil, map[string]float64{"v1": 0.7, "v2": 0.3}},
		"an empty rest":          {[]balance.Split{{To: []balance.Share{to("v1", 0), to("v2", 0), to("v3", 20)}}}, nil, map[string]float64{"v1": 0.8 / 3, "v2": 0.8 / 3, "v3": 0.2 + 0.8/3}},
		"nobody there":           {[]balance.Split{{To: []balance.Share{to("v9", 40), to("v1", 60)}}}, nil, map[string]float64{"v1": 0.6 + 0.4/3, "v2": 0.4 / 3, "v3": 0.4 / 3}},
		"by header":              {forced, header("X-Version", "v2"), map[string]float64{"v2": 1}},
		"by another value":       {forced, header("X-Version", "v4"), map[string]float64{"v1": 1}},
		"by any value":           {forced, header("X-Any", "x"), map[string]float64{"v3": 1}},
		"no header":              {forced, nil, map[string]float64{"v1": 1}},
		"an empty header":        {forced, header("X-Any", ""), map[string]float64{"v1": 1}},
		"a condition nobody met": {forced[:2], nil, map[string]float64{"v1": 1.0 / 3, "v2": 1.0 / 3, "v3": 1.0 / 3}},
	} {
		t.Run(name, func(t *testing.T) {
			b := ofVersions(t, balance.Policy{Name: balance.Random, Splits: c.splits}, 4, "v1", "v2", "v3")
			const n = 20_000
			got := byVersion(t, b, n, c.request)
			for _, v := range []string{"v1", "v2", "v3"} {
				sigma := math.Sqrt(c.want[v] * (1 - c.want[v]) / n)
				if math.Abs(got[v]-c.want[v]) > 4*sigma+1e-9 {
					t.Errorf("%s has %.4f of the calls, want %.4f", v, got[v], c.want[v])
				}
			}
		})
	}
}

// Calls with the same key go to the same version, whichever client makes them,
// and the versions have their shares of the keys.
func TestSplitsByKey(t *testing.T) {
	policy := balance.Policy{Splits: []balance.Split{{
		To: []balance.Share{to("v2", 20)}, By: []balance.Source{{Cookie: "none"}, {Header: "User"}},
	}}}
	one, two := ofVersions(t, policy, 3, "v1", "v2"), ofVersions(t, policy, 3, "v2", "v1")
	canaries := 0
	const users = 10_000
	for i := range users {
		c := balance.Call{Request: asked{"User": fmt.Sprint("user-", i)}}
		var seen []string
		for _, b := range []*balance.Balancer{one, two, one} {
			e, err := b.PickFor(&c)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, e.Instance().Version)
			e.Done(success)
		}
		if seen[0] != seen[1] || seen[1] != seen[2] {
			t.Fatalf("the calls of one user go to %v", seen)
		}
		if seen[0] == "v2" {
			canaries++
		}
	}
	if canaries < 1880 || canaries > 2120 { // three deviations
		t.Errorf("%d of %d users have the canary, want 20 percent", canaries, users)
	}
	if got := byVersion(t, one, users, nil)["v2"]; got < 0.188 || got > 0.212 {
		t.Errorf("%.3f of the calls without a key have the canary, want 20 percent", got)
	}
}

func TestSelect(t *testing.T) {
	for name, s := range map[string]balance.Selector{
		"version": {Version: "v2"},
		"tags":    {Tags: []string{"only-v2", "all"}},
		"meta":    {Meta: map[string]string{"build": "v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := ofVersions(t, balance.Policy{Select: s}, 3, "v1", "v2", "v3")
			if got := byVersion(t, b, 200, nil); len(got) != 1 || got["v2"] == 0 {
				t.Errorf("calls go to %v", got)
			}
			wantStats(t, b, balance.Stats{Available: 3})
			if n := len(b.Endpoints()); n != 9 {
				t.Errorf("%d endpoints are known, want 9", n)
			}
		})
	}
	b := ofVersions(t, balance.Policy{Select: balance.Selector{Version: "v2", Tags: []string{"only-v1"}}}, 3, "v1", "v2")
	if _, err := b.Pick(nil); !errors.Is(err, balance.ErrNoInstances) {
		t.Errorf("nothing is selected: %v", err)
	}
	if err := b.SetPolicy(balance.Policy{Select: balance.Selector{Version: "v1"}}); err != nil {
		t.Fatal(err)
	}
	if got := byVersion(t, b, 200, nil); len(got) != 1 || got["v1"] == 0 {
		t.Errorf("after a change calls go to %v", got)
	}
}

// An endpoint that is left out is tried again by calls that belong to its part,
// and by no others.
func TestSplitsAndProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ofVersions(t, balance.Policy{Name: balance.P2C, Splits: []balance.Split{{
			When: balance.Condition{Source: balance.Source{Header: "Canary"}}, To: []balance.Share{to("v2", 100)},
		}, {To: []balance.Share{to("v1", 100)}}}}, 4, "v1", "v2")
		sick := b.Endpoints()[7]
		canary := balance.Call{Request: asked{"Canary": "1"}}
		for range 100 {
			e, err := b.PickFor(&canary)
			if err != nil {
				t.Fatal(err)
			}
			if e == sick {
				e.Done(failure)
			} else {
				defer e.Done(success) // they stay busy, or the sick one would not be hit again
			}
		}
		wantState(t, sick, balance.Ejected)
		time.Sleep(12 * time.Second)
		for range 100 {
			if e := pick(t, b); e.Instance().Version != "v1" {
				t.Fatalf("a call of another part is risked on %s", e.ID())
			} else {
				e.Done(success)
			}
			time.Sleep(20 * ms)
		}
		for range 3 {
			e, err := b.PickFor(&canary)
			if err != nil {
				t.Fatal(err)
			}
			e.Done(success)
			time.Sleep(20 * ms)
		}
		wantState(t, sick, balance.Available)
	})
}

// A part of which nobody is available has its calls answered by the others, and
// is tried again by calls of its own.
func TestSplitsWithoutAnybody(t *testing.T) {
	for name, fail := range map[string]func(*testing.T, *balance.Balancer, *balance.Endpoint){"ejected": ejectTB, "unreachable": cutOffTB} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := balance.Policy{Name: balance.P2C, Splits: []balance.Split{
					{When: balance.Condition{Source: balance.Source{Header: "Old"}}, To: []balance.Share{to("v1", 100)}},
					{To: []balance.Share{to("v2", 50)}},
				}}
				b := ofVersions(t, p, 4, "v1", "v2")
				b.Update(known(b)[:5])
				canary := b.Endpoints()[4]
				fail(t, b, canary)
				if n := calls(t, b, 1000, success)[canary]; n > 0 {
					t.Errorf("%d of 1000 calls to a canary that is %v", n, canary.State())
				}
				x := b.Explain(balance.Call{})
				for x.Part != "split 2 share 1" {
					x = b.Explain(balance.Call{})
				}
				if x.Chosen.Instance.Version != "v1" || x.Reason != balance.ByFailOver {
					t.Errorf("chosen %s by %s", x.Chosen.Instance.ID, x.Reason)
				}
				time.Sleep(12 * time.Second)
				for range 100 {
					e, err := b.PickFor(&balance.Call{Request: asked{"Old": "1"}})
					if err != nil || e == canary {
						t.Fatalf("a call of another part went to %s, %v", e.ID(), err)
					}
					e.Done(success)
					time.Sleep(ms)
				}
				wantState(t, canary, map[string]balance.State{"ejected": balance.Ejected, "unreachable": balance.Unreachable}[name])
				awaitRisk(t, b, canary, time.Second)
				canary.Done(success)
				wantState(t, canary, balance.Available)
			})
		})
	}
}

func ejectTB(t *testing.T, b *balance.Balancer, e *balance.Endpoint)  { ejectOne(t, b, e) }
func cutOffTB(t *testing.T, b *balance.Balancer, e *balance.Endpoint) { cutOff(t, b, e) }

// What is left out of a part is tried again though so little of the whole is
// available that what is ejected is used like the rest.
func TestSplitsAndProbesInPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, v2 := leastLoaded, leastLoaded
		v2.Splits = []balance.Split{{To: []balance.Share{to("v2", 100)}}}
		b := ofVersions(t, all, 4, "v1", "v2")
		sick := b.Endpoints()[7]
		ejectOne(t, b, sick)
		for _, e := range b.Endpoints()[:4] {
			cutOff(t, b, e)
		}
		wantStats(t, b, balance.Stats{Available: 3, Ejected: 1, Unreachable: 4, Panic: true})
		if err := b.SetPolicy(v2); err != nil {
			t.Fatal(err)
		}
		awaitRisk(t, b, sick, 12*time.Second)
	})
}

// A policy is the caller's to change once it is set.
func TestPolicyIsCopied(t *testing.T) {
	mine := func() balance.Policy {
		return balance.Policy{
			Name:   balance.RingHash,
			Hash:   balance.Hash{By: []balance.Source{{Header: "User"}}},
			Select: balance.Selector{Tags: []string{"all"}, Meta: map[string]string{"build": "v1"}},
			Shadow: balance.Shadow{Percent: 100, Select: balance.Selector{Tags: []string{"only-v2"}, Meta: map[string]string{"build": "v2"}}},
			Splits: []balance.Split{{
				To: []balance.Share{{Selector: balance.Selector{Tags: []string{"only-v1"}, Meta: map[string]string{"build": "v1"}}, Percent: 100}},
				By: []balance.Source{{Header: "User"}},
			}},
		}
	}
	change := func(p balance.Policy) {
		p.Hash.By[0].Header = "Nobody"
		p.Select.Tags[0], p.Select.Meta["build"] = "none", "none"
		p.Shadow.Select.Tags[0], p.Shadow.Select.Meta["build"] = "none", "none"
		p.Splits[0].To[0].Percent, p.Splits[0].By[0].Header = 0, "Nobody"
		p.Splits[0].To[0].Tags[0], p.Splits[0].To[0].Meta["build"] = "none", "none"
	}
	p := mine()
	b := ofVersions(t, p, 3, "v1", "v2")
	check := func() {
		t.Helper()
		b.Update(known(b))
		for range 100 {
			x := &balance.Explanation{}
			e, err := b.PickFor(&balance.Call{Explain: x, Request: asked{"User": "me"}})
			if err != nil || e.Instance().Version != "v1" || x.Part != "split 1 share 1" {
				t.Fatalf("picked %+v, %v, for part %q", e, err, x.Part)
			}
			s := b.PickShadow(e)
			if s == nil || s.Instance().Version != "v2" {
				t.Fatalf("the shadow is %v", s)
			}
			s.ShadowDone()
			e.Done(success)
		}
	}
	change(p)
	check()
	p = mine()
	if err := b.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	change(p)
	check()
}

func TestSplitsValidate(t *testing.T) {
	err := balance.Policy{
		Splits: []balance.Split{
			{},
			{When: balance.Condition{Source: balance.Source{Header: "a", Query: "b"}}, To: []balance.Share{to("v1", 60), to("v2", 60)}},
			{When: balance.Condition{Value: "x"}, To: []balance.Share{{Percent: 101}}, By: []balance.Source{{}}},
			{To: []balance.Share{to("v1", math.NaN())}},
		},
		Zones:  balance.Zones{MinEndpoints: -1, MinLocal: -1},
		Subset: balance.Subset{MinEndpoints: -1, Size: -1},
	}.Validate()
	for _, want := range []string{
		"split 1: to nobody", "split 2: when: want one of", "split 2: its shares have 120 percent", "split 3: when",
		"split 3: share 1: percent 101", "split 3: share 1: names no", "split 3: by 1", "split 4: share 1: percent NaN",
		"zones min_endpoints", "zones min_local", "subset min_endpoints", "subset size",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if err := (balance.Policy{Subset: balance.Subset{Size: 100}}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	if err := (balance.Policy{Subset: balance.Subset{MinEndpoints: 10}}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	if err := (balance.Policy{Subset: balance.Subset{MinEndpoints: 10, Size: 11}}).Validate(); err == nil {
		t.Error("a subset that is larger than the whole is valid")
	}
}

func TestSplitsJSON(t *testing.T) {
	const doc = `{"select":{"tags":["eu"],"meta":{"tier":"1"}},` +
		`"splits":[{"when":{"header":"X-Canary","value":"yes"},"to":[{"version":"v2","percent":100}]},` +
		`{"to":[{"version":"v2","percent":5}],"by":[{"cookie":"session"}]}],` +
		`"zones":{"min_endpoints":9,"min_local":3},"subset":{"min_endpoints":30,"size":12}}`
	want := balance.Policy{
		Select: balance.Selector{Tags: []string{"eu"}, Meta: map[string]string{"tier": "1"}},
		Splits: []balance.Split{
			{When: balance.Condition{Source: balance.Source{Header: "X-Canary"}, Value: "yes"}, To: []balance.Share{to("v2", 100)}},
			{To: []balance.Share{to("v2", 5)}, By: []balance.Source{{Cookie: "session"}}},
		},
		Zones:  balance.Zones{MinEndpoints: 9, MinLocal: 3},
		Subset: balance.Subset{MinEndpoints: 30, Size: 12},
	}
	var p balance.Policy
	if err := json.Unmarshal([]byte(doc), &p); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("read %+v, %v; want %+v", p, err, want)
	}
	out, err := json.Marshal(p)
	if err != nil || string(out) != doc {
		t.Errorf("written as %s, %v", out, err)
	}
	for _, bad := range []string{
		`{"splits":[{"to":[{"verion":"v2"}]}]}`, `{"splits":[{"too":[]}]}`, `{"select":{"tag":"a"}}`, `{"zones":{"min":1}}`, `{"subset":{"sise":1}}`,
	} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// Parts have their calls whatever the policy, and their zones.
func TestSplitsAndZones(t *testing.T) {
	b, err := balance.New(balance.Policy{Name: balance.RoundRobin, Splits: []balance.Split{{To: []balance.Share{to("v2", 50)}}}},
		balance.WithRand(random.New(1)), balance.WithCaller(balance.Caller{Zone: "a"}))
	if err != nil {
		t.Fatal(err)
	}
	list := instances(24)
	for i := range list {
		list[i].Version = []string{"v1", "v2"}[i%2]
		list[i].Zone = []string{"a", "b", "c"}[i/2%3]
	}
	b.Update(list)
	count := map[string]int{}
	for range 1000 {
		e := pick(t, b)
		count[e.Instance().Version+e.Instance().Zone]++
		e.Done(success)
	}
	if len(count) != 2 || count["v1a"] < 450 || count["v2a"] < 450 {
		t.Errorf("calls by version and zone: %v", count)
	}
}
