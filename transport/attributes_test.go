package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

// versions serves h at one instance for each of the versions, which its handler
// finds in the header Version of the response.
func (f *fleet) versions(service string, h http.HandlerFunc, versions ...string) {
	f.t.Helper()
	var list []discovery.Instance
	for i, v := range versions {
		addr := fmt.Sprintf("%s-%d:1", service, i)
		f.listen(addr, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Version", v)
			h(w, r)
		})
		list = append(list, discovery.Instance{ID: addr, Service: service, Addr: addr, Version: v})
	}
	if err := f.static.Set(service, list); err != nil {
		f.t.Fatal(err)
	}
}

func share(version string, percent float64) balance.Share {
	return balance.Share{Selector: balance.Selector{Version: version}, Percent: percent}
}

// Which version answers, by what the request carries. Every first attempt
// fails, so that all holds over a retry too.
func TestSplits(t *testing.T) {
	always := func(s balance.Source, value string) []balance.Split {
		return []balance.Split{{When: balance.Condition{Source: s, Value: value}, To: []balance.Share{share("v2", 100)}}}
	}
	byHeader := always(balance.Source{Header: "X-Canary"}, "yes")
	byCookie := always(balance.Source{Cookie: "canary"}, "")
	byQuery := always(balance.Source{Query: "canary"}, "1")
	byUser := []balance.Split{{By: []balance.Source{{Cookie: "user"}, {Query: "user"}}, To: []balance.Share{share("v2", 30)}}}
	for name, tc := range map[string]struct {
		policy balance.Policy
		query  string
		header map[string]string
		v2     float64 // the part of the calls that v2 answers, about
	}{
		"all":               {v2: 0.5},
		"select":            {policy: balance.Policy{Select: balance.Selector{Version: "v2"}}, v2: 1},
		"percent":           {policy: balance.Policy{Splits: []balance.Split{{To: []balance.Share{share("v2", 10)}}}}, v2: 0.1},
		"header":            {policy: balance.Policy{Splits: byHeader}, header: map[string]string{"x-canary": "yes"}, v2: 1},
		"header, other":     {policy: balance.Policy{Splits: byHeader}, header: map[string]string{"x-canary": "no"}, v2: 0.5},
		"cookie":            {policy: balance.Policy{Splits: byCookie}, header: map[string]string{"Cookie": "a=b; canary=on"}, v2: 1},
		"cookie, none":      {policy: balance.Policy{Splits: byCookie}, header: map[string]string{"Cookie": "a=b"}, v2: 0.5},
		"query":             {policy: balance.Policy{Splits: byQuery}, query: "?a=%zz&canary=1&canary=2", v2: 1},
		"query, other":      {policy: balance.Policy{Splits: byQuery}, query: "?canary=2&canary=1", v2: 0.5},
		"user of v1":        {policy: balance.Policy{Splits: byUser}, query: "?user=1", v2: 0},
		"user of v2":        {policy: balance.Policy{Splits: byUser}, query: "?user=9", v2: 1},
		"user by the first": {policy: balance.Policy{Splits: byUser}, query: "?user=1", header: map[string]string{"Cookie": "user=9"}, v2: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.versions("pricing", func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get(transport.HeaderAttempt) == "1" {
						w.Header().Set(transport.HeaderShed, "1")
						w.WriteHeader(503)
					}
				}, "v1", "v1", "v2", "v2")
				tc.policy.SlowStart = -1
				p := transport.Policy{Balance: tc.policy}
				p.Retry.Budget.PerSuccess = 1
				c := f.client(transport.WithServicePolicy("pricing", p))
				const calls = 400
				v2 := 0
				for range calls {
					req, err := http.NewRequestWithContext(t.Context(), "POST", "http://pricing/"+tc.query, strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					for k, v := range tc.header {
						req.Header.Set(k, v)
					}
					resp, err := c.HTTPClient().Do(req)
					if err != nil || resp.StatusCode != 200 {
						t.Fatalf("got %v %v", resp, err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if resp.Header.Get("Version") == "v2" {
						v2++
					}
				}
				if got := float64(v2) / calls; got < tc.v2-0.1 || got > tc.v2+0.1 || tc.v2 == 1 && got < 1 || tc.v2 == 0 && got > 0 {
					t.Errorf("v2 answers %v of the calls, want %v", got, tc.v2)
				}
			})
		})
	}
}

// Calls with the same key stay together, whatever makes the key.
func TestHashKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("cart", answer(200), "1", "2", "3", "4", "5")
		f.versions("pricing", answer(200), "1", "2", "3", "4", "5")
		made := 0
		c := f.client(transport.WithPolicy(transport.Policy{Balance: balance.Policy{
			Name: balance.Rendezvous, Hash: balance.Hash{By: []balance.Source{{Query: "other"}}}}}),
			transport.WithHashKey("cart", func(r *http.Request) string {
				made++
				return strings.TrimPrefix(r.URL.Path, "/")
			}))
		seen := map[string]string{} // who answers, by the key
		all := map[string]bool{}
		ask := func(url, key string) {
			t.Helper()
			resp, err := c.HTTPClient().Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			v := resp.Header.Get("Version")
			if was := seen[key]; was != "" && was != v {
				t.Errorf("calls with the key %q go to %s and to %s", key, was, v)
			}
			seen[key], all[v] = v, true
		}
		for i := range 200 {
			key := fmt.Sprint(i % 40)
			ask(fmt.Sprintf("http://cart/%s?other=%d", key, i), "cart "+key)
			ask(fmt.Sprintf("http://pricing/%d?other=%s", i, key), "pricing "+key)
		}
		if made != 200 || len(all) != 5 {
			t.Errorf("%d keys were made for 200 calls, which %d of 5 answered", made, len(all))
		}
		ask("http://cart/?other=7", "cart of query 7")
		ask("http://cart/?other=7", "cart of query 7")
	})
}

// A key function that panics takes only its own call along.
func TestHashKeyPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("cart", answer(200), "1")
		c := f.client(transport.WithHashKey("cart", func(r *http.Request) string {
			if r.URL.Path == "/bad" {
				panic("here")
			}
			return ""
		}))
		body := &sized{Reader: strings.NewReader("x")}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_, _ = c.RoundTrip(request(t, "http://cart/bad", body))
		}()
		if status, _, err := get(t.Context(), c, "http://cart/good"); status != 200 {
			t.Errorf("got %d %v", status, err)
		}
		if n := c.Services()[0].Bulkhead.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func request(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
