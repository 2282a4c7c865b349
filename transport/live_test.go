package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// stateOf returns what c keeps for service.
func stateOf(t *testing.T, c *transport.Client, service string) transport.ServiceState {
	t.Helper()
	for _, s := range c.Services() {
		if s.Name == service {
			return s
		}
	}
	t.Fatalf("no service %q", service)
	return transport.ServiceState{}
}

// A change reaches a service in use at once, and what was learnt of it stays.
func TestSetPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		status := http.StatusInternalServerError
		f.start("cart", "a:1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		c := f.client(transport.WithPolicy(transport.Policy{Retry: retry.Policy{Attempts: 1}}))
		for range 5 {
			_, _, _ = get(t.Context(), c, "http://cart/")
		}
		s := stateOf(t, c, "cart")
		s.Budget.Take(retry.CostTimeout)

		p := transport.Policies{Services: map[string]transport.Policy{"cart": {
			Timeout: time.Second, Breaker: breaker.Settings{Consecutive: 6}, Limit: limit.Policy{MaxInflight: 7},
			Retry:   retry.Policy{Attempts: 1, Budget: retry.BudgetPolicy{Cap: 4, Refill: -1}},
			Balance: balance.Policy{Name: balance.RoundRobin}, Throttle: limit.ThrottlePolicy{On: true, K: 3},
			Routes: map[string]transport.Route{"GET /slow": {Timeout: time.Minute}},
		}}}
		if err := c.SetPolicies(p); err != nil {
			t.Fatal(err)
		}
		if got := s.Breaker.Counts().Failures; got != 5 {
			t.Errorf("the breaker remembers %d failures, want 5", got)
		}
		if got := s.Budget.Tokens(); got != 4 {
			t.Errorf("%v tokens, want 8 cut to 4", got)
		}
		if got := s.Bulkhead.Max(); got != 7 {
			t.Errorf("bulkhead of %d, want 7", got)
		}
		if got := s.Balancer.Explain(balance.Call{}).Policy; got != balance.RoundRobin {
			t.Errorf("balanced by %s", got)
		}
		if got := s.Throttle.Policy(); !got.On || got.K != 3 {
			t.Errorf("the throttle goes by %+v", got)
		}
		p.Services["cart"] = withoutThrottle(p.Services["cart"])
		if err := c.SetPolicies(p); err != nil {
			t.Fatal(err)
		}
		_, _, _ = get(t.Context(), c, "http://cart/")
		if got := s.Breaker.State(); got != breaker.Open {
			t.Errorf("breaker %v after the sixth failure, want open", got)
		}
		if got := c.PolicyFor("cart").Timeout; got != time.Second {
			t.Errorf("in force: timeout %v", got)
		}
		if stateOf(t, c, "cart").Breaker != s.Breaker {
			t.Error("the service was made anew")
		}
		if err := c.RemovePolicy("cart"); err != nil {
			t.Fatal(err)
		}
		if got := s.Bulkhead.Max(); got != limit.DefaultMaxInflight {
			t.Errorf("bulkhead of %d after the policy was removed", got)
		}
		if got := s.Breaker.State(); got != breaker.Open {
			t.Errorf("breaker %v after the policy was removed, want open still", got)
		}
	})
}

func withoutThrottle(p transport.Policy) transport.Policy {
	p.Throttle = limit.ThrottlePolicy{}
	return p
}

// A call keeps to the time that it began with; the next one has the new.
func TestCallsUnderWayKeepTheirPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(3 * time.Second):
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		})
		once := retry.Policy{Attempts: 1}
		c := f.client(transport.WithPolicy(transport.Policy{Timeout: 5 * time.Second, AttemptTimeout: 4 * time.Second, Retry: once}))
		result := make(chan error)
		call := func() {
			_, _, err := get(t.Context(), c, "http://cart/")
			result <- err
		}
		go call()
		time.Sleep(time.Second)
		if err := c.SetPolicy("", transport.Policy{Timeout: time.Second, Retry: once}); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Errorf("the call under way: %v", err)
		}
		go call()
		if err := <-result; !errors.Is(err, transport.ErrTimeout) {
			t.Errorf("the next call: %v, want a timeout", err)
		}
	})
}

func TestBadPoliciesChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", func(http.ResponseWriter, *http.Request) {})
		var log bytes.Buffer
		c := f.client(transport.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			transport.WithPicker("last", func(rand.Source) balance.Picker { return last{} }))
		if _, _, err := get(t.Context(), c, "http://cart/"); err != nil {
			t.Fatal(err)
		}
		good := transport.Policies{Services: map[string]transport.Policy{"cart": {Timeout: time.Second, Balance: balance.Policy{Name: "last"}}}}
		if err := c.SetPolicies(good); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		bad := transport.Policies{
			Default: transport.Policy{Timeout: -1},
			Services: map[string]transport.Policy{
				"cart":    {Timeout: 9 * time.Second},
				"pricing": {Breaker: breaker.Settings{Probes: -1, MinCalls: -1}, Balance: balance.Policy{Name: "first"}},
				"no name": {},
			},
		}
		err := c.SetPolicies(bad)
		for _, want := range []string{
			"default policy: transport: policy: timeout", `"pricing": breaker: probes`, `"pricing": breaker: min_calls`,
			`"pricing": balance: policy "first"`, `policy of "no name"`,
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q:\n%v", want, err)
			}
		}
		if got := c.PolicyFor("cart").Timeout; got != time.Second {
			t.Errorf("timeout %v, want the last good one", got)
		}
		s := c.PolicyState()
		if s.Version != 1 || s.Source != transport.FromCode || time.Since(s.Changed) != time.Minute ||
			s.Refused == nil || s.Refused.Err == nil || s.Refused.Source != transport.FromCode || time.Since(s.Refused.At) != 0 {
			t.Errorf("state %+v", s)
		}
		if err := c.SetPolicies(good); err != nil {
			t.Fatal(err)
		}
		if v := c.PolicyState().Version; v != 1 {
			t.Errorf("version %d after the same policies again, want 1", v)
		}
		if n, m := strings.Count(log.String(), "policies changed"), strings.Count(log.String(), "policies refused"); n != 1 || m != 1 {
			t.Errorf("%d changes and %d refusals logged, want 1 and 1:\n%s", n, m, &log)
		}
	})
}

// What a source says lies over what the program has set.
func TestSetPoliciesFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		timeout := func(d time.Duration) transport.Policy { return transport.Policy{Timeout: d} }
		c := f.client(transport.WithPolicy(timeout(9*time.Second)), transport.WithServicePolicy("cart", timeout(8*time.Second)))
		set := func(source string, p transport.Policies) {
			t.Helper()
			if err := c.SetPoliciesFrom(source, p); err != nil {
				t.Fatal(err)
			}
		}
		want := func(cart, other time.Duration, sources string) {
			t.Helper()
			if got := c.PolicyFor("cart").Timeout; got != cart {
				t.Errorf("cart: %v, want %v", got, cart)
			}
			if got := c.PolicyFor("other").Timeout; got != other {
				t.Errorf("other: %v, want %v", got, other)
			}
			all := c.Policies()
			if all.Default.Timeout != other || all.Services["cart"].Timeout != cart {
				t.Errorf("all policies: %+v", all)
			}
			if got := fmt.Sprint(c.PolicyState().Sources); got != sources {
				t.Errorf("sources %s, want %s", got, sources)
			}
		}
		want(8*time.Second, 9*time.Second, "[code]")
		set("file", transport.Policies{Default: timeout(7 * time.Second)})
		want(8*time.Second, 7*time.Second, "[code file]")
		set("kv", transport.Policies{Services: map[string]transport.Policy{"cart": timeout(6 * time.Second)}})
		want(6*time.Second, 7*time.Second, "[code file kv]")
		if got := c.PolicySource("cart") + c.PolicySource("other"); got != "kvfile" {
			t.Errorf("sources of cart and other: %s", got)
		}
		if err := c.SetPolicy("cart", timeout(time.Second)); err != nil {
			t.Fatal(err)
		}
		want(6*time.Second, 7*time.Second, "[code file kv]")
		set("file", transport.Policies{})
		want(6*time.Second, 9*time.Second, "[code kv]")
		set("kv", transport.Policies{})
		want(time.Second, 9*time.Second, "[code]")
		if err := c.SetPoliciesFrom(transport.FromCode, transport.Policies{}); err == nil {
			t.Error("a source may call itself the program")
		}
	})
}

// For the race detector: calls to services old and new while policies change.
func TestPoliciesChangeUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		for i := range 8 {
			f.start(fmt.Sprintf("s%d", i), fmt.Sprintf("s%d:1", i), func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) })
		}
		c := f.client()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond) // services are made while policies change
				for ctx.Err() == nil {
					if _, _, err := get(t.Context(), c, fmt.Sprintf("http://s%d/x", i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for n := 1; ctx.Err() == nil; n++ {
			p := transport.Policy{
				Timeout: time.Duration(n) * time.Second, Limit: limit.Policy{MaxInflight: 10 + n},
				Breaker: breaker.Settings{Window: time.Duration(1+n%3) * 10 * time.Second}, Hedge: retry.Hedge{On: n%2 == 0},
				Routes: map[string]transport.Route{"GET /x": {Limit: limit.Policy{MaxInflight: 1 + n%2}}},
			}
			if err := errors.Join(c.SetPolicy("", p), c.SetPolicy("s1", transport.Policy{Timeout: time.Duration(n) * time.Minute})); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		wg.Wait()
		last := c.PolicyFor("s0").Limit.MaxInflight
		for _, s := range c.Services() {
			want := last
			if s.Name == "s1" {
				want = limit.DefaultMaxInflight
			}
			if got := s.Bulkhead.Max(); got != want || s.Bulkhead.InFlight() != 0 {
				t.Errorf("%s: bulkhead of %d with %d in flight, want %d and none", s.Name, got, s.Bulkhead.InFlight(), want)
			}
		}
	})
}

func TestParsePolicies(t *testing.T) {
	const doc = `{"default":{"timeout":"2s"},"services":{"cart":{"timeout":"1s","routes":{"GET /x":{"timeout":"3s"}}}}}`
	p, err := transport.ParsePolicies([]byte(doc))
	if err != nil || p.Default.Timeout != 2*time.Second || p.Services["cart"].Routes["GET /x"].Timeout != 3*time.Second {
		t.Fatalf("%+v, %v", p, err)
	}
	if out, err := json.Marshal(p); err != nil || string(out) != doc {
		t.Errorf("written as %s, %v", out, err)
	}
	for in, want := range map[string]string{
		``:                                  "empty",
		`  `:                                "empty",
		`null`:                              "object",
		`[]`:                                "object",
		`{"services":{"cart":{"timeout"`:    "line 1",
		"{\n\"default\":\n}":                "line 3",
		`{} {}`:                             "line 1",
		`{"service":{}}`:                    "service",
		`{"default":{"timout":"1s"}}`:       "timout",
		`{"default":{"timeout":1}}`:         "default policy",
		`{"services":{"a":{"timeout":1}}}`:  `policy of "a"`,
		`{"services":{"a":{},"a":{}}}`:      `a`,
		`{"default":{},"default":{}}`:       "default",
		`{"default":{"timeout":"1 score"}}`: "1 score",
	} {
		if p, err := transport.ParsePolicies([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want an error with %q", in, p, err, want)
		}
	}
	if p, err := transport.ParsePolicy([]byte(`{"timeout":"1s"}`)); err != nil || p.Timeout != time.Second {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add([]byte(`{"default":{"timeout":"2s"},"services":{"cart":{"breaker":{"probes":2},"balance":{"policy":"random"}}}}`))
	f.Add([]byte(`{"services":{"a":{"routes":{"POST /x":{"idempotent":true,"hedge":{"on":true}}}}}}`))
	f.Add([]byte(`{"services":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := transport.ParsePolicies(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("%s: cannot be written: %v", data, err)
		}
		again, err := transport.ParsePolicies(out)
		if err != nil {
			t.Fatalf("%s: written as %s: %v", data, out, err)
		}
		once, _ := json.Marshal(again)
		if !bytes.Equal(once, out) {
			t.Fatalf("%s: then %s", out, once)
		}
		c, err := transport.NewClient(nobody())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if c.ValidatePolicies(p) != nil {
			return
		}
		if err := c.SetPolicies(p); err != nil {
			t.Fatalf("valid, but: %v", err)
		}
	})
}

// nobody is a registry without instances.
func nobody() discovery.Resolver {
	r, err := static.New(nil)
	if err != nil {
		panic(err)
	}
	return r
}

func ExampleClient_SetPolicies() {
	c, err := transport.NewClient(nobody())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	p, err := transport.ParsePolicies([]byte(`{"services": {"pricing": {"timeout": "500ms", "retry": {"attempts": 2}}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.SetPolicies(p), c.PolicyFor("pricing").Timeout)

	p.Services["pricing"] = transport.Policy{ResponseBytes: -1}
	fmt.Println(c.SetPolicies(p))
	fmt.Println(c.PolicyFor("pricing").Timeout)
	// Output:
	// <nil> 500ms
	// transport: policy of "pricing": transport: policy: response_bytes is -1, must not be negative
	// 500ms
}
