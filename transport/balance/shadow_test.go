package balance_test

import (
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

func shadowed(percent float64) balance.Policy {
	v1, v2 := balance.Selector{Version: "v1"}, balance.Selector{Version: "v2"}
	return balance.Policy{Name: balance.P2C, Select: v1, Shadow: balance.Shadow{Select: v2, Percent: percent}}
}

func TestShadowsGoToTheOtherVersion(t *testing.T) {
	b := newBalancer(t, shadowed(25), 0)
	b.Update(versions("v1", "v2"))
	const calls = 10_000
	n := 0
	for range calls {
		e := pick(t, b)
		if v := e.Instance().Version; v != "v1" {
			t.Fatalf("a call went to %s", v)
		}
		if s := b.PickShadow(e); s != nil {
			if v := s.Instance().Version; v != "v2" {
				t.Fatalf("a shadow went to %s", v)
			}
			if s.InFlight() != 1 {
				t.Fatalf("%d in flight", s.InFlight())
			}
			s.ShadowDone()
			n++
		}
		e.Done(success)
	}
	if n < calls/4-250 || n > calls/4+250 {
		t.Errorf("%d of %d calls have a shadow, want a quarter", n, calls)
	}
	for _, e := range b.Endpoints() {
		if e.InFlight() != 0 {
			t.Errorf("%s has %d in flight at the end", e.ID(), e.InFlight())
		}
	}
}

func TestNoShadow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, shadowed(100), 0)
		b.Update(versions("v1", "v2")[:3])
		one, two := b.Endpoints()[0], b.Endpoints()[2]
		wants := func(want bool, primary *balance.Endpoint, why string) {
			t.Helper()
			s := b.PickShadow(primary)
			if (s != nil) != want {
				t.Errorf("shadow %v, want %v: %s", s != nil, want, why)
			}
			if s != nil {
				s.ShadowDone()
			}
		}
		wants(true, one, "all is well")
		wants(false, two, "the call is where the shadow would be")

		if err := b.SetPolicy(balance.Policy{Name: balance.P2C, Shadow: shadowed(100).Shadow}); err != nil {
			t.Fatal(err)
		}
		give(t, b, two, balance.Result{Outcome: balance.Overload, Rest: 10 * time.Second}, 1)
		wants(false, one, "resting")
		time.Sleep(15 * time.Second)
		wants(true, one, "rested")
		ejectOne(t, b, two)
		wants(false, one, "ejected")

		b.Update(versions("v1"))
		wants(false, one, "nobody there")
		if err := b.SetPolicy(balance.Policy{}); err != nil {
			t.Fatal(err)
		}
		b.Update(versions("v1", "v2"))
		wants(false, one, "off")
		if b.Shadow() != nil {
			t.Error("a policy without shadows has one")
		}
	})
}

// Shadows are no part of what an endpoint's calls are judged by: with as many
// calls that succeed a quarter of failures would not be too many.
func TestShadowsDoNotDilute(t *testing.T) {
	for _, shadows := range []int{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			p := balance.Policy{Name: balance.RoundRobin, Shadow: balance.Shadow{Select: balance.Selector{Version: "v2"}, Percent: 100}}
			p.Ejection.Consecutive = 1000
			b := newBalancer(t, p, 0)
			b.Update(versions("v1", "v1", "v2"))
			sick := b.Endpoints()[5]
			for range 1500 {
				e := pick(t, b)
				if e == sick {
					for range shadows {
						for range 2 {
							if s := b.PickShadow(b.Endpoints()[0]); s != nil {
								s.ShadowDone()
							}
						}
					}
					e.Done(failure)
				} else {
					e.Done(success)
				}
				time.Sleep(20 * time.Millisecond)
			}
			wantState(t, sick, balance.Ejected)
		})
	}
}

func TestShadowPolicy(t *testing.T) {
	v2 := balance.Selector{Version: "v2"}
	for _, bad := range []balance.Shadow{
		{Percent: 10}, {Select: v2, Percent: -1}, {Select: v2, Percent: 101}, {Select: v2, Percent: math.NaN()},
		{Select: v2, Percent: 1, MaxInFlight: -1},
	} {
		if err := (balance.Policy{Shadow: bad}).Validate(); err == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
	p := balance.Policy{
		Shadow: balance.Shadow{Select: v2, Percent: 10, Writes: true, MaxInFlight: 3},
		Sticky: balance.Sticky{Cookie: "lb", Path: "/x", MaxAge: time.Hour, SameSite: balance.SameSiteStrict, Secure: true},
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"sticky":{"cookie":"lb","path":"/x","max_age":"1h0m0s","same_site":"strict","secure":true},` +
		`"shadow":{"select":{"version":"v2"},"percent":10,"writes":true,"max_in_flight":3}}`
	if string(text) != want {
		t.Errorf("JSON %s, want %s", text, want)
	}
	var back balance.Policy
	if err := json.Unmarshal(text, &back); err != nil || back.Sticky != p.Sticky || back.Shadow.Percent != 10 || !back.Shadow.Writes {
		t.Errorf("it came back as %+v, %v", back, err)
	}
	if d := p.WithDefaults(); d.Sticky != p.Sticky {
		t.Errorf("defaults changed %+v to %+v", p.Sticky, d.Sticky)
	}
	d := balance.Policy{Sticky: balance.Sticky{Cookie: "lb"}, Shadow: balance.Shadow{Select: v2, Percent: 1}}.WithDefaults()
	if d.Sticky.Path != "/" || d.Sticky.SameSite != balance.SameSiteLax || d.Shadow.MaxInFlight != balance.DefaultShadows {
		t.Errorf("defaults %+v %+v", d.Sticky, d.Shadow)
	}
}
