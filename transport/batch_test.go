package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/collapse"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

const lookup = "GET /v1/products/{id}"

var errDiscontinued = errors.New("discontinued")

// fetchProducts asks for all the products at once.
func fetchProducts(ctx context.Context, client http.RoundTripper, lookups []*http.Request) ([]transport.Answer, error) {
	var ids []string
	for _, r := range lookups {
		ids = append(ids, r.PathValue("id"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://catalogue/v1/products?ids="+url.QueryEscape(strings.Join(ids, ",")), nil)
	if err != nil {
		return nil, err
	}
	req.Header = lookups[0].Header.Clone()
	resp, err := client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the catalogue answered %s", resp.Status)
	}
	found := map[string]string{}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return nil, err
	}
	answers := make([]transport.Answer, len(ids))
	for i, id := range ids {
		switch name, ok := found[id]; {
		case id == "old":
			answers[i] = transport.Answer{Err: errDiscontinued}
		case ok:
			answers[i] = transport.Answer{Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte(name)}
		default:
			answers[i] = transport.Answer{Status: http.StatusNotFound}
		}
	}
	return answers, nil
}

// catalogue answers fetchProducts after 100 ms and remembers what it was asked.
type catalogue struct {
	mu    sync.Mutex
	asked []string // user, criticality and ids
}

func (c *catalogue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ids := r.URL.Query().Get("ids")
	c.mu.Lock()
	c.asked = append(c.asked, strings.Join(strings.Fields(r.Header.Get("Authorization")+" "+r.Header.Get(transport.HeaderCriticality)+" "+ids), " "))
	c.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	found := map[string]string{}
	for id := range strings.SplitSeq(ids, ",") {
		if id != "gone" {
			found[id] = "product " + id
		}
	}
	_ = json.NewEncoder(w).Encode(found)
}

// batching returns a client whose lookups gather for 10 ms.
func batching(f *fleet, fetch transport.BatchFunc, opts ...transport.ClientOption) *transport.Client {
	return f.client(append([]transport.ClientOption{
		transport.WithBatch("catalogue", lookup, fetch),
		transport.WithServicePolicy("catalogue", transport.Policy{
			Retry:  retry.Policy{Attempts: 2},
			Routes: map[string]transport.Route{lookup: {Collapse: &collapse.Settings{Window: 10 * time.Millisecond}}},
		}),
	}, opts...)...)
}

// Lookups of a route that collapses are one call, and each caller has its own
// answer or error. What differs in more than its URL, or matters less, is not
// mixed.
func TestRoutesCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		shop := &catalogue{}
		f.start("catalogue", "a:1", shop.ServeHTTP)
		c := batching(f, fetchProducts)
		var wg sync.WaitGroup
		ask := func(ctx context.Context, id, user string, check func(status int, body string, err error) bool) {
			wg.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://catalogue/v1/products/"+id, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if user != "" {
					req.Header.Set("Authorization", user)
				}
				var body []byte
				resp, err := c.HTTPClient().Do(req)
				status := 0
				if err == nil {
					status = resp.StatusCode
					body, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				if !check(status, string(body), err) {
					t.Errorf("%s of %q: got %d %q %v", id, user, status, body, err)
				}
			})
			synctest.Wait()
		}
		is := func(want string) func(int, string, error) bool {
			return func(status int, body string, err error) bool { return status == 200 && body == want && err == nil }
		}
		ask(t.Context(), "a", "", is("product a"))
		ask(t.Context(), "b", "", is("product b"))
		ask(t.Context(), "b", "", is("product b"))
		ask(t.Context(), "gone", "", func(status int, _ string, err error) bool { return status == 404 && err == nil })
		ask(t.Context(), "old", "", func(_ int, _ string, err error) bool {
			e, ok := errors.AsType[*transport.Error](err)
			return ok && e.Service == "catalogue" && errors.Is(err, errDiscontinued)
		})
		ask(t.Context(), "a", "eve", is("product a"))
		ask(transport.WithCriticality(t.Context(), limit.Sheddable), "c", "", is("product c"))
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		ask(short, "d", "", func(_ int, _ string, err error) bool { return errors.Is(err, context.DeadlineExceeded) })
		wg.Wait()
		want := map[string]bool{"a,b,gone,old,d": true, "eve a": true, "sheddable c": true}
		for _, a := range shop.asked {
			if !want[a] {
				t.Errorf("asked %q", a)
			}
			delete(want, a)
		}
		if len(want) > 0 {
			t.Errorf("not asked: %v", want)
		}
		checkNothingHeld(t, c)
		if n := transport.Gathering(c); n != 0 {
			t.Errorf("%d groups are kept for nobody", n)
		}
	})
}

// What a batch comes to stands for all who wait for it, and the callers of their
// handlers learn that retrying has been done.
func TestBatchesThatFail(t *testing.T) {
	few := func(ctx context.Context, client http.RoundTripper, lookups []*http.Request) ([]transport.Answer, error) {
		answers, err := fetchProducts(ctx, client, lookups)
		return answers[:1], err
	}
	asStatus := func(ctx context.Context, client http.RoundTripper, lookups []*http.Request) ([]transport.Answer, error) {
		_, err := fetchProducts(ctx, client, lookups)
		if err == nil {
			return nil, errors.New("no error")
		}
		return []transport.Answer{{Status: 503}, {Status: 503}}, nil
	}
	for name, tc := range map[string]struct {
		fetch   transport.BatchFunc
		handler http.HandlerFunc
		hits    int
		final   bool
		text    string
	}{
		"by the service":             {fetchProducts, answer(503), 2, true, "the catalogue answered 503"},
		"as a status":                {asStatus, answer(503), 2, true, "503"},
		"by no connection":           {fetchProducts, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 2, true, "EOF"},
		"by the function":            {few, (&catalogue{}).ServeHTTP, 1, false, "1 answers to 2 lookups"},
		"by a panic of the function": {func(context.Context, http.RoundTripper, []*http.Request) ([]transport.Answer, error) { panic("oops") }, nil, 0, false, "oops"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("catalogue", "a:1", tc.handler)
				c := batching(f, tc.fetch)
				f.listen("cart:1", func(w http.ResponseWriter, r *http.Request) {
					status, _, err := get(r.Context(), c, "http://catalogue/v1/products/"+r.URL.Query().Get("id"))
					if text := fmt.Sprint(status, err); status == 200 || !strings.Contains(text, tc.text) {
						t.Errorf("got %s, want something with %q", text, tc.text)
					}
					w.WriteHeader(http.StatusBadGateway)
				})
				plain := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
				defer plain.CloseIdleConnections()
				var wg sync.WaitGroup
				for _, id := range []string{"a", "b"} {
					wg.Go(func() {
						resp, err := plain.Get("http://cart:1/?id=" + id)
						if err != nil {
							t.Error(err)
							return
						}
						_ = resp.Body.Close()
						if got := resp.Header.Get(transport.HeaderNoRetry) != ""; got != tc.final {
							t.Errorf("no retry: %v, want %v", got, tc.final)
						}
					})
				}
				wg.Wait()
				if n := f.hit("a:1"); n != tc.hits {
					t.Errorf("%d requests, want %d", n, tc.hits)
				}
			})
		})
	}
}

// A batch's own call gathers with nobody, and nothing gathers that asks for more
// than a lookup.
func TestWhatDoesNotCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("catalogue", "a:1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
		c := batching(f, func(_ context.Context, client http.RoundTripper, lookups []*http.Request) ([]transport.Answer, error) {
			answers := make([]transport.Answer, len(lookups))
			for i, r := range lookups { // one by one, and by the same route
				resp, err := client.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				answers[i].Body, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			return answers, nil
		})
		for what, header := range map[string]string{
			"GET /v1/products/a": "", "GET /v1/products/b": "Range", "GET /v1/products/c": "If-None-Match",
			"HEAD /v1/products/d": "", "DELETE /v1/products/e": "", "GET /v1/other": "",
		} {
			method, path, _ := strings.Cut(what, " ")
			var h map[string]string
			if header != "" {
				h = map[string]string{header: "x"}
			}
			start := time.Now()
			status, body, err := do(t.Context(), c, method, "http://catalogue"+path, "", h)
			if err != nil || status != 200 || method != "HEAD" && body != path {
				t.Errorf("%s: got %d %q %v", what, status, body, err)
			}
			if gathered := time.Since(start) > 0; gathered != (path == "/v1/products/a") {
				t.Errorf("%s: gathered: %v", what, gathered)
			}
		}
	})
}

// Who waits for a batch waits no longer than the route allows.
func TestBatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		ended := make(chan error, 1)
		c := batching(f, func(ctx context.Context, _ http.RoundTripper, _ []*http.Request) ([]transport.Answer, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		start := time.Now()
		_, _, err := get(t.Context(), c, "http://catalogue/v1/products/a")
		if took := time.Since(start); !errors.Is(err, transport.ErrTimeout) || took != 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if err := <-ended; err == nil {
			t.Error("the batch goes on though nobody waits")
		}
	})
}

func TestABatchThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		routes := map[string]transport.Route{lookup: {Collapse: &collapse.Settings{}}}
		for name, opts := range map[string][]transport.ClientOption{
			"of the service": {transport.WithBatch("cart", lookup, fetchProducts), transport.WithServicePolicy("catalogue", transport.Policy{Routes: routes})},
			"nil":            {transport.WithBatch("catalogue", lookup, nil), transport.WithServicePolicy("catalogue", transport.Policy{Routes: routes})},
			"of any":         {transport.WithBatch("cart", "GET /other", fetchProducts), transport.WithPolicy(transport.Policy{Routes: routes})},
		} {
			if _, err := transport.NewClient(f.static, opts...); err == nil || !strings.Contains(err.Error(), "WithBatch") {
				t.Errorf("%s: got %v, want what to do", name, err)
			}
		}
		bad := transport.Policy{Routes: map[string]transport.Route{lookup: {Collapse: &collapse.Settings{Max: -1}}}}
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "Max") {
			t.Errorf("got %v", err)
		}
	})
}
