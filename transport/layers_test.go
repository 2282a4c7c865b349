package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// Routes that ask for it share calls, others do not.
func TestRoutesCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
			after(time.Second)(w, r)
			fmt.Fprint(w, r.URL.Path)
		})
		c := f.client(transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"GET /shared/{id}": {Coalesce: true}}}))
		for path, want := range map[string]int{"/shared/1": 1, "/own/1": 10} {
			before := f.total()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if status, body, err := get(t.Context(), c, "http://pricing"+path); status != 200 || body != path || err != nil {
						t.Errorf("got %d %q %v", status, body, err)
					}
				})
			}
			wg.Wait()
			if n := f.total() - before; n != want {
				t.Errorf("%s: %d requests, want %d", path, n, want)
			}
		}
		checkNothingHeld(t, c)
	})
}

func checkNothingHeld(t *testing.T, c *transport.Client) {
	t.Helper()
	for _, s := range c.Services() {
		if n := s.Bulkhead.InFlight(); n != 0 {
			t.Errorf("%s: %d in the bulkhead after the last call", s.Name, n)
		}
	}
}

// What would be shed must not stand for what would not; and whoever gives up
// gets the client's own kind of error.
func TestWhoSharesACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", after(time.Second))
		c := f.client(transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"/": {Coalesce: true}}}))
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		errs := make(chan error, 3)
		for _, ctx := range []context.Context{t.Context(), transport.WithCriticality(t.Context(), limit.Sheddable), short} {
			go func() {
				_, _, err := get(ctx, c, "http://pricing/")
				errs <- err
			}()
			synctest.Wait()
		}
		err := <-errs
		if e, ok := errors.AsType[*transport.Error](err); !ok || e.Service != "pricing" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who gave up got %v", err)
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := f.total(); n != 2 {
			t.Errorf("%d requests, want one for each criticality", n)
		}
	})
}

// Requests being served share the calls that their handlers make, if they matter
// as much; and when such a call has been given up, the callers of all of them
// learn that retrying has been done.
func TestRequestsShareACall(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"by a response": answer(503),
		"by an error":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(100 * time.Millisecond) // for the others to come
					fail(w, r)
				})
				c := f.client(transport.WithPolicy(transport.Policy{
					Retry:  retry.Policy{Attempts: 2},
					Routes: map[string]transport.Route{"/": {Coalesce: true}},
				}))
				f.listen("cart:1", func(w http.ResponseWriter, r *http.Request) {
					_, _, _ = get(r.Context(), c, "http://pricing/")
					w.WriteHeader(http.StatusBadGateway)
				})
				plain := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
				defer plain.CloseIdleConnections()
				ask := func(c limit.Criticality) {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://cart:1/", nil)
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set(transport.HeaderCriticality, c.String())
					resp, err := plain.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
					if resp.Header.Get(transport.HeaderNoRetry) == "" {
						t.Errorf("%v: no word of the retries: %v", c, resp.Header)
					}
				}
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { ask(limit.Critical) })
				}
				wg.Go(func() { ask(limit.Sheddable) })
				wg.Wait()
				if n := f.hit("a:1"); n != 4 {
					t.Errorf("%d requests, want two for each criticality", n)
				}
			})
		})
	}
}

// remembering is a cache that keeps everything until something is written.
type remembering struct {
	next   http.RoundTripper
	mu     sync.Mutex
	known  map[string]http.Header
	asked  []string
	closed bool
}

func (r *remembering) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req.Method+" "+req.URL.Path)
	if h, ok := r.known[req.URL.Path]; ok && req.Method == http.MethodGet {
		return &http.Response{StatusCode: 200, Header: h.Clone(), Body: http.NoBody, Request: req}, nil
	}
	resp, err := r.next.RoundTrip(req)
	delete(r.known, req.URL.Path)
	if err == nil && req.Method == http.MethodGet {
		r.known[req.URL.Path] = resp.Header.Clone()
	}
	return resp, err
}

func (r *remembering) Close() error {
	r.closed = true
	return nil
}

// Routes that ask for it are answered from the cache, and writes go through it.
func TestRoutesCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(200))
		cache := &remembering{known: map[string]http.Header{}}
		c := f.client(
			transport.WithServicePolicy("pricing", transport.Policy{Routes: map[string]transport.Route{"GET /kept/{id}": {Cache: true, Coalesce: true}}}),
			transport.WithCache(func(next http.RoundTripper) http.RoundTripper { cache.next = next; return cache }))
		for _, call := range []string{"GET /kept/1", "GET /kept/1", "GET /other", "PUT /kept/1", "GET /kept/1", "GET /kept/1"} {
			method, path, _ := strings.Cut(call, " ")
			if status, _, err := do(t.Context(), c, method, "http://pricing"+path, "", nil); status != 200 || err != nil {
				t.Fatalf("%s: got %d %v", call, status, err)
			}
		}
		if n := f.total(); n != 4 {
			t.Errorf("%d requests, want 4: two of them from the cache", n)
		}
		if got, want := strings.Join(cache.asked, ", "), "GET /kept/1, GET /kept/1, PUT /kept/1, GET /kept/1, GET /kept/1"; got != want {
			t.Errorf("through the cache went %s, want %s", got, want)
		}
		if err := c.Close(); err != nil || !cache.closed {
			t.Errorf("close: %v, the cache is closed: %v", err, cache.closed)
		}
	})
}

// Calls that the cache cannot answer share one below it.
func TestCachedRoutesCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", after(time.Second))
		c := f.client(
			transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"GET /kept/{id}": {Cache: true, Coalesce: true}}}),
			transport.WithCache(func(next http.RoundTripper) http.RoundTripper { return next }))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, _, _ = get(t.Context(), c, "http://pricing/kept/1") })
		}
		wg.Wait()
		if n := f.total(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestACacheThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		_, err := transport.NewClient(f.static, transport.WithServicePolicy("pricing",
			transport.Policy{Routes: map[string]transport.Route{"GET /": {Cache: true}}}))
		if err == nil || !strings.Contains(err.Error(), `"pricing"`) || !strings.Contains(err.Error(), "WithCache") {
			t.Errorf("got %v, want what to do", err)
		}
		c := f.client()
		err = c.SetPolicies(transport.Policies{Default: transport.Policy{Routes: map[string]transport.Route{"GET /": {Cache: true}}}})
		if err == nil || !strings.Contains(err.Error(), "WithCache") {
			t.Errorf("afterwards: %v, want what to do", err)
		}
	})
}
