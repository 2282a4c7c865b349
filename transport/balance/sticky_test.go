package balance_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// header is a request that carries nothing but headers.
type header map[string]string

func (h header) Header(name string) string { return h[name] }
func (h header) Cookie(string) string      { return "" }
func (h header) Query(string) string       { return "" }

var sticky = balance.Sticky{Header: "X-Session"}

// sessions are callers that bring along the name that they were last given.
type sessions struct {
	t     *testing.T
	b     *balance.Balancer
	names []string
}

// call makes one call of each session and returns how many have moved.
func (s *sessions) call() (moved int) {
	s.t.Helper()
	for i, name := range s.names {
		e, err := s.b.PickFor(&balance.Call{Request: header{"X-Session": name}})
		if err != nil {
			s.t.Fatal(err)
		}
		if e.State() != balance.Available {
			s.t.Errorf("a session is at an endpoint that is %v", e.State())
		}
		e.Done(success)
		if e.Name() != name {
			s.names[i] = e.Name()
			moved++
		}
	}
	return moved
}

func (s *sessions) at(e *balance.Endpoint) (n int) {
	for _, name := range s.names {
		if name == e.Name() {
			n++
		}
	}
	return n
}

func TestSessionsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Sticky: sticky}, 5)
		s := &sessions{t, b, make([]string, 1000)}
		s.call()
		for range 5 {
			if n := s.call(); n != 0 {
				t.Fatalf("%d of 1000 sessions moved although nothing has changed", n)
			}
		}
		gone := b.Endpoints()[0]
		left := s.at(gone)
		if left < 100 {
			t.Fatalf("an endpoint of five has %d of 1000 sessions", left)
		}
		b.Update(instances(5)[1:])
		if n := s.call(); n != left {
			t.Errorf("%d sessions moved when an endpoint with %d left", n, left)
		}
		b.Update(instances(5))
		if n := s.call(); n != 0 || b.Endpoints()[0] != gone {
			t.Errorf("%d sessions moved when it came back", n)
		}

		sick := b.Endpoints()[1]
		left = s.at(sick)
		ejectOne(t, b, sick)
		if n := s.call(); n != left {
			t.Errorf("%d sessions moved when an endpoint with %d was ejected", n, left)
		}
		list := instances(5)
		list[2].Weight = -1
		left = s.at(b.Endpoints()[2])
		b.Update(list)
		if n := s.call(); n != left {
			t.Errorf("%d sessions moved when an endpoint with %d began to drain", n, left)
		}
	})
}

// A session is not where it was named for as long as that one rests, or was
// tried.
func TestSessionFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Sticky: sticky}, 3)
		e := b.Endpoints()[2]
		call := &balance.Call{Request: header{"X-Session": e.Name()}}
		goes := func(want bool, why string) {
			t.Helper()
			got, err := b.PickFor(call)
			if err != nil || (got == e) != want {
				t.Errorf("the session is at its endpoint: %v, want %v: %s (%v)", got == e, want, why, err)
			}
			got.Done(success)
		}
		goes(true, "it is well")
		if x := b.Explain(*call); x.Reason != balance.BySession || x.Chosen.Instance.ID != e.ID() {
			t.Errorf("explained as %+v", x)
		}
		explained := *call
		explained.Explain = &balance.Explanation{}
		if got, err := b.PickFor(&explained); err != nil || got != e || explained.Explain.Reason != balance.BySession {
			t.Errorf("explained as %+v, %v", explained.Explain, err)
		} else {
			got.Done(success)
		}
		call.Tried = []*balance.Endpoint{e}
		goes(false, "tried")
		call.Tried = nil
		give(t, b, e, balance.Result{Outcome: balance.Overload, Rest: 10 * time.Second}, 1)
		goes(false, "resting")
		time.Sleep(15 * time.Second)
		goes(true, "rested")
		cutOff(t, b, e)
		goes(false, "unreachable")
	})
}

// When most are ejected none is worse than the others, and sessions stay.
func TestSessionsStayInPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Name: balance.P2C, Sticky: sticky,
			Ejection: balance.Ejection{MaxPercent: 100}}, 3)
		e := b.Endpoints()[0]
		ejectOne(t, b, e)
		ejectOne(t, b, b.Endpoints()[1])
		if !b.Stats().Panic {
			t.Fatalf("stats %+v, want panic", b.Stats())
		}
		got, err := b.PickFor(&balance.Call{Request: header{"X-Session": e.Name()}})
		if err != nil || got != e {
			t.Errorf("the session of an ejected endpoint went to %v, %v", got, err)
		}
		got.Done(cancelled)
	})
}

func TestBadNamesAreIgnored(t *testing.T) {
	b := newBalancer(t, balance.Policy{Sticky: sticky}, 3)
	name := b.Endpoints()[0].Name()
	for _, bad := range []string{
		"", " ", name[1:], name + "0", "+" + name[1:], "0x" + name[2:], name[:15] + "g", strings.Repeat("f", 16),
		"10.0.0.0:80", b.Endpoints()[0].ID(), strings.Repeat("9", 10_000), "\x00",
	} {
		seen := map[*balance.Endpoint]bool{}
		for range 100 {
			e, err := b.PickFor(&balance.Call{Request: header{"X-Session": bad}})
			if err != nil {
				t.Fatal(err)
			}
			e.Done(success)
			seen[e] = true
		}
		if len(seen) != 3 {
			t.Errorf("%d of 3 endpoints get the calls that bring %.20q", len(seen), bad)
		}
	}
	if _, err := b.PickFor(&balance.Call{}); err != nil {
		t.Errorf("a call of which nothing is known: %v", err)
	}
}

// Names are the same on all clients and whatever the address, and tell nothing.
func TestNames(t *testing.T) {
	one, two := newBalancer(t, balance.Policy{}, 300), newBalancer(t, balance.Policy{}, 300)
	list := instances(300)
	for i := range list {
		list[i].Addr = "192.0.2.1:" + list[i].ID[1:]
	}
	two.Update(list)
	seen := map[string]bool{}
	for i, e := range one.Endpoints() {
		name := e.Name()
		if name != two.Endpoints()[i].Name() || len(name) != 16 || strings.Trim(name, "0123456789abcdef") != "" || seen[name] {
			t.Fatalf("%s is named %q and %q", e.ID(), name, two.Endpoints()[i].Name())
		}
		seen[name] = true
	}
}

func TestStickyFollowsThePolicy(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 4)
	if b.Sticky() != nil {
		t.Error("sticky by default")
	}
	s := &sessions{t, b, make([]string, 20)}
	if s.call(); s.call() == 0 {
		t.Error("sessions stay although they are not sticky")
	}
	if err := b.SetPolicy(balance.Policy{Sticky: sticky}); err != nil {
		t.Fatal(err)
	}
	s.call()
	if n := s.call(); n != 0 || b.Sticky().Header != "X-Session" {
		t.Errorf("%d sessions move", n)
	}
	if err := b.SetPolicy(balance.Policy{}); err != nil {
		t.Fatal(err)
	}
	if s.call() == 0 || b.Sticky() != nil {
		t.Error("sessions stay although they are no longer sticky")
	}
}

// versions returns two instances of each version.
func versions(names ...string) []discovery.Instance {
	list := instances(2 * len(names))
	for i := range list {
		list[i].Version = names[i/2]
	}
	return list
}

func TestStickyWithinSplits(t *testing.T) {
	v := func(version string, percent float64) balance.Share {
		return balance.Share{Selector: balance.Selector{Version: version}, Percent: percent}
	}
	canary := balance.Condition{Source: balance.Source{Header: "X-Canary"}}
	by := []balance.Source{{Header: "X-User"}}
	for name, tc := range map[string]struct {
		policy balance.Policy
		extra  header // of the request
		list   []discovery.Instance
		stays  map[string]bool // by version
	}{
		"select": {
			policy: balance.Policy{Select: balance.Selector{Version: "v1"}},
			stays:  map[string]bool{"v1": true, "v2": false},
		},
		"by chance": {
			policy: balance.Policy{Splits: []balance.Split{{To: []balance.Share{v("v2", 5)}}}},
			stays:  map[string]bool{"v1": true, "v2": true, "v3": true},
		},
		"share of nothing": {
			policy: balance.Policy{Splits: []balance.Split{{To: []balance.Share{v("v2", 0)}}}},
			stays:  map[string]bool{"v1": true, "v2": false},
		},
		"no rest": {
			policy: balance.Policy{Splits: []balance.Split{{To: []balance.Share{v("v1", 50), v("v2", 50)}}}},
			stays:  map[string]bool{"v1": true, "v2": true, "v3": false},
		},
		"condition": {
			policy: balance.Policy{Splits: []balance.Split{{When: canary, To: []balance.Share{v("v2", 100)}}}},
			extra:  header{"X-Canary": "1"},
			stays:  map[string]bool{"v1": false, "v2": true},
		},
		"condition that does not hold": {
			policy: balance.Policy{Splits: []balance.Split{{When: canary, To: []balance.Share{v("v2", 100)}}}},
			stays:  map[string]bool{"v1": true, "v2": true},
		},
		"condition, nobody there": {
			policy: balance.Policy{Splits: []balance.Split{{When: canary, To: []balance.Share{v("v4", 100)}}}},
			extra:  header{"X-Canary": "1"},
			stays:  map[string]bool{"v1": true, "v2": true},
		},
		"tied to all": {
			policy: balance.Policy{Splits: []balance.Split{{By: by, To: []balance.Share{v("v2", 100)}}}},
			extra:  header{"X-User": "7"},
			stays:  map[string]bool{"v1": false, "v2": true},
		},
		"tied to the rest": {
			policy: balance.Policy{Splits: []balance.Split{{By: by, To: []balance.Share{v("v2", 0)}}}},
			extra:  header{"X-User": "7"},
			stays:  map[string]bool{"v1": true, "v2": false, "v3": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.policy.Sticky = sticky
			b := newBalancer(t, tc.policy, 0)
			b.Update(versions("v1", "v2", "v3"))
			for _, e := range b.Endpoints() {
				want, asked := tc.stays[e.Instance().Version]
				if !asked {
					continue
				}
				h := header{"X-Session": e.Name()}
				for k, v := range tc.extra {
					h[k] = v
				}
				stays := 0
				for range 20 {
					got, err := b.PickFor(&balance.Call{Request: h})
					if err != nil {
						t.Fatal(err)
					}
					got.Done(success)
					if got == e {
						stays++
					}
				}
				if want && stays < 20 || !want && stays > 0 {
					t.Errorf("a session at %s stayed in %d of 20 calls, want all: %v", e.Instance().Version, stays, want)
				}
			}
		})
	}
}

func TestStickyPolicy(t *testing.T) {
	for _, good := range []balance.Sticky{
		{}, {Header: "X-Session"}, {Cookie: "lb"},
		{Cookie: "__Host-lb", Path: "/shop", MaxAge: time.Hour, SameSite: balance.SameSiteNone, Secure: true},
	} {
		if err := (balance.Policy{Sticky: good}).Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []balance.Sticky{
		{Header: "a", Cookie: "b"}, {Header: "a b"}, {Cookie: "a=b"}, {Cookie: "ä"}, {Cookie: "a;"}, {Header: "a", Path: "/"},
		{Secure: true}, {Cookie: "a", Path: "shop"}, {Cookie: "a", Path: "/;x"}, {Cookie: "a", Path: "/\n"},
		{Cookie: "a", MaxAge: -1}, {Cookie: "a", MaxAge: time.Millisecond}, {Cookie: "a", SameSite: "Lax "},
		{Cookie: "a", SameSite: balance.SameSiteNone},
	} {
		if err := (balance.Policy{Sticky: bad}).Validate(); err == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}
