package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// routes records by which route each call goes.
type routes struct {
	outcomes
	routes []string
}

func (o *routes) EndCall(_ context.Context, c *transport.Call) { o.routes = append(o.routes, c.Route) }

func TestRouteOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("catalog", "a:1", answer(200))
		seen := &routes{}
		p := transport.Policy{Routes: map[string]transport.Route{
			"GET /products/{id}": {Timeout: time.Second},
			"/products/":         {Timeout: 2 * time.Second},
			"POST /orders":       {Timeout: 3 * time.Second},
		}}
		c := f.client(transport.WithPolicy(p), transport.WithObserver(seen))
		for _, tc := range []struct{ method, path, route string }{
			{"GET", "/products/7", "GET /products/{id}"},
			{"", "/products/7?x=1", "GET /products/{id}"},
			{"HEAD", "/products/7", "GET /products/{id}"},
			{"DELETE", "/products/7", "/products/"},
			{"GET", "/products/7/parts", "/products/"},
			{"GET", "/products", ""}, // a server would redirect it
			{"GET", "/orders", ""},
			{"POST", "/orders", "POST /orders"},
			{"POST", "/a/../orders", ""},
			{"GET", "/", ""},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://catalog"+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Method = tc.method
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := seen.routes[len(seen.routes)-1]; got != tc.route {
				t.Errorf("%s %s went by the route %q, want %q", tc.method, tc.path, got, tc.route)
			}
		}
	})
}

// What a route has of its own holds for its calls, and only for them.
func TestRoutePolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		policy  transport.Policy
		route   transport.Route
		handler http.HandlerFunc
		method  string
		on, off int           // requests that arrive by the route, and beside it
		took    time.Duration // by the route
	}{
		"timeout": {
			policy: transport.Policy{Retry: retry.Policy{Attempts: 1}}, route: transport.Route{Timeout: 100 * time.Millisecond},
			handler: after(time.Minute), method: "GET", on: 1, off: 1, took: 100 * time.Millisecond,
		},
		"a timeout below the service's attempt timeout": {
			policy:  transport.Policy{AttemptTimeout: time.Second, Retry: retry.Policy{Attempts: 1}},
			route:   transport.Route{Timeout: 100 * time.Millisecond},
			handler: after(time.Minute), method: "GET", on: 1, off: 1, took: 100 * time.Millisecond,
		},
		"attempt timeout": {
			policy:  transport.Policy{Retry: retry.Policy{Attempts: 1}},
			route:   transport.Route{AttemptTimeout: 50 * time.Millisecond},
			handler: after(time.Minute), method: "GET", on: 1, off: 1, took: 50 * time.Millisecond,
		},
		"no retries": {
			route:   transport.Route{Retry: &retry.Policy{Attempts: 1}},
			handler: answer(503), method: "GET", on: 1, off: 3,
		},
		"a POST that may be repeated": {
			route:   transport.Route{Idempotent: true},
			handler: answer(503), method: "POST", on: 3, off: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("catalog", "a:1", tc.handler)
				f.start("catalog", "b:1", tc.handler)
				f.start("catalog", "c:1", tc.handler)
				tc.policy.Routes = map[string]transport.Route{"/special": tc.route}
				c := f.client(transport.WithPolicy(tc.policy))
				start := time.Now()
				_, _, _ = do(t.Context(), c, tc.method, "http://catalog/special", "", nil)
				took, on := time.Since(start), f.total()
				_, _, _ = do(t.Context(), c, tc.method, "http://catalog/other", "", nil)
				if off := f.total() - on; on != tc.on || off != tc.off {
					t.Errorf("%d requests by the route and %d beside it, want %d and %d", on, off, tc.on, tc.off)
				}
				if tc.took != 0 && (took > tc.took || took < tc.took-2*time.Millisecond) {
					t.Errorf("a call by the route took %v, want %v", took, tc.took)
				}
			})
		})
	}
}

// A route's bulkhead leaves the rest of the service alone, and is within it.
func TestRouteBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("catalog", "a:1", after(time.Second))
		c := f.client(transport.WithPolicy(transport.Policy{
			Limit:  limit.Policy{MaxInflight: 3},
			Routes: map[string]transport.Route{"/reports": {Limit: limit.Policy{MaxInflight: 2}}},
		}))
		results := make(chan error, 10)
		call := func(path string) {
			go func() {
				_, _, err := get(t.Context(), c, "http://catalog"+path)
				results <- err
			}()
			synctest.Wait()
		}
		refused := func() error {
			t.Helper()
			select {
			case err := <-results:
				return err
			default:
				t.Fatal("the call was not refused")
				return nil
			}
		}
		call("/reports")
		call("/reports")
		call("/reports")
		if err := refused(); !errors.Is(err, transport.ErrBulkheadFull) || !strings.Contains(err.Error(), `route "/reports"`) {
			t.Errorf("error %v, want that the route's bulkhead is full", err)
		}
		call("/products")
		call("/products")
		if err := refused(); !errors.Is(err, transport.ErrBulkheadFull) || strings.Contains(err.Error(), "route") {
			t.Errorf("error %v, want that the service's bulkhead is full", err)
		}
		limits := func(want transport.RouteLimit) {
			t.Helper()
			if got := stateOf(t, c, "catalog").RouteLimits(); !slices.Equal(got, []transport.RouteLimit{want}) {
				t.Errorf("limits of routes %+v, want %+v", got, want)
			}
		}
		limits(transport.RouteLimit{Route: "/reports", InFlight: 2, Max: 2, Refused: 1})
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		idle(t, c)
		if err := c.SetPolicies(transport.Policies{Default: transport.Policy{Routes: map[string]transport.Route{
			"/reports": {Limit: limit.Policy{MaxInflight: 4}}, "/products": {Timeout: time.Minute},
		}}}); err != nil {
			t.Fatal(err)
		}
		limits(transport.RouteLimit{Route: "/reports", Max: 4, Refused: 1})
		call("/reports")
		call("/reports")
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("after the places were given back: %v", err)
			}
		}
	})
}

// Calls that say nothing have their route's criticality, those that do keep it.
func TestRouteCriticality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var got string
		f.start("catalog", "a:1", func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get(transport.HeaderCriticality) })
		c := f.client(transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"/reports": {Criticality: "sheddable"}}}))
		for _, tc := range []struct {
			name   string
			ctx    context.Context
			path   string
			header map[string]string
			want   string
		}{
			{"by the route", t.Context(), "/reports", nil, "sheddable"},
			{"beside it", t.Context(), "/products", nil, ""},
			{"by its context", transport.WithCriticality(t.Context(), limit.CriticalPlus), "/reports", nil, "critical_plus"},
			{"by its header", t.Context(), "/reports", map[string]string{transport.HeaderCriticality: "sheddable_plus"}, "sheddable_plus"},
		} {
			if _, _, err := do(tc.ctx, c, "GET", "http://catalog"+tc.path, "", tc.header); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("%s: criticality %q, want %q", tc.name, got, tc.want)
			}
		}
	})
}

// Within a request, what the request's caller said goes before the route, and
// the route before what is assumed of callers that said nothing.
func TestRouteCriticalityWithinARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var got string
		f.start("catalog", "a:1", func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get(transport.HeaderCriticality) })
		c := f.client(transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"/reports": {Criticality: "sheddable"}}}))
		f.start("front", "b:1", func(_ http.ResponseWriter, r *http.Request) {
			if _, _, err := get(r.Context(), c, "http://catalog/reports"); err != nil {
				t.Error(err)
			}
		})
		for said, want := range map[string]string{"": "sheddable", "critical_plus": "critical_plus"} {
			header := map[string]string{}
			if said != "" {
				header[transport.HeaderCriticality] = said
			}
			if _, _, err := do(t.Context(), c, "GET", "http://front/", "", header); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("a caller that said %q: criticality %q, want %q", said, got, want)
			}
		}
	})
}

func TestRouteJSON(t *testing.T) {
	p := transport.Policy{Hedge: retry.Hedge{On: true, Share: 0.01, MinDelay: 5 * time.Millisecond}, Routes: map[string]transport.Route{
		"GET /a": {
			Timeout: time.Second, AttemptTimeout: 300 * time.Millisecond, ResponseBytes: -1, Retry: &retry.Policy{Attempts: 1},
			Idempotent: true, Hedge: &retry.Hedge{On: true, Quantile: 0.9}, Limit: limit.Policy{MaxInflight: 7}, Criticality: "sheddable",
		},
	}}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back transport.Policy
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("%s: read back %+v %v, want %+v", data, back, err, p)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	kept := p.Routes
	if err := json.Unmarshal([]byte(`{"routes":{"GET /b":{"timeout":"1s"}}}`), &back); err != nil || len(back.Routes) != 2 || len(kept) != 1 {
		t.Errorf("after one more route: %d routes, %v, want 2", len(back.Routes), err)
	}
}

func TestBadRoutes(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		want   string
	}{
		"no pattern":        {`{"routes":{"":{}}}`, `route ""`},
		"a host":            {`{"routes":{"GET example.com/":{}}}`, "without a host"},
		"a host alone":      {`{"routes":{"example.com/":{}}}`, "without a host"},
		"a bad wildcard":    {`{"routes":{"/a/{b/c":{}}}`, `route "/a/{b/c"`},
		"a conflict":        {`{"routes":{"/a/{b}":{},"/a/{c}":{}}}`, "conflicts"},
		"timeouts":          {`{"routes":{"/a":{"timeout":"1s","attempt_timeout":"2s"}}}`, `route "/a": transport: policy: attempt_timeout 2s is longer than timeout 1s`},
		"a negative":        {`{"routes":{"/a":{"timeout":"-1s"}}}`, `route "/a"`},
		"a budget":          {`{"routes":{"/a":{"retry":{"budget":{"cap":5}}}}}`, "budget is the service's"},
		"a criticality":     {`{"routes":{"/a":{"criticality":"vital"}}}`, `"vital"`},
		"a share":           {`{"routes":{"/a":{"hedge":{"share":0.9}}}}`, "share 0.9"},
		"hedge of the base": {`{"hedge":{"quantile":0.2}}`, "quantile 0.2"},
		"an unknown name":   {`{"routes":{"/a":{"time":"1s"}}}`, "time"},
	} {
		t.Run(name, func(t *testing.T) {
			var p transport.Policy
			err := json.Unmarshal([]byte(tc.policy), &p)
			if err == nil {
				err = p.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v, want one with %q", tc.policy, err, tc.want)
			}
		})
	}
	// What is wrong with the service is told once, not for each route again.
	p := transport.Policy{Timeout: -1, Routes: map[string]transport.Route{"/a": {}, "/b": {}}}
	if err := p.Validate(); strings.Count(err.Error(), "timeout is") != 1 {
		t.Errorf("error %v, want the timeout once", err)
	}
}

// Each hop is told less time than the one before, and never more than there is.
func TestEachHopSeesLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		c := f.client()
		var told []time.Duration
		for i, hops := 0, []string{"a", "b", "c", ""}; i < 3; i++ {
			f.start(hops[i], hops[i]+":1", func(_ http.ResponseWriter, r *http.Request) {
				d, _ := transport.CallerTimeout(r.Header)
				told = append(told, d)
				if next := hops[i+1]; next != "" {
					if _, _, err := get(r.Context(), c, "http://"+next+"/"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, _, err := get(ctx, c, "http://a/"); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{297 * time.Millisecond, 294 * time.Millisecond, 291 * time.Millisecond}
		if !reflect.DeepEqual(told, want) {
			t.Errorf("the hops are told %v, want %v", told, want)
		}
	})
}
