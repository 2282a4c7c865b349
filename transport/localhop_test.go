package transport_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// hopWays are the ways from a caller to a handler that makes calls of its own.
var hopWays = []string{"wire", "local, in a server", "local, bare"}

// hop returns a client whose service "mid" is h, called in one of the ways.
func hop(f *fleet, way string, h http.HandlerFunc, opts ...transport.ClientOption) *transport.Client {
	f.t.Helper()
	switch way {
	case "wire":
		f.start("mid", "m:1", h)
	case "local, bare":
		opts = append(opts, transport.WithLocal("mid", h, 1))
	default:
		srv, err := transport.NewServer(h)
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { _ = srv.Close() })
		opts = append(opts, transport.WithLocal("mid", srv, 1))
	}
	return f.client(opts...)
}

// eachHop runs a test for every way, called by a job that serves nobody and from
// within a request.
func eachHop(t *testing.T, test func(t *testing.T, way string, served bool)) {
	t.Helper()
	for _, way := range hopWays {
		for name, served := range map[string]bool{"by a job": false, "within a request": true} {
			t.Run(way+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test(t, way, served) })
			})
		}
	}
}

// from runs call in a context of a job's, or in that of a request with a header.
func from(f *fleet, served bool, header map[string]string, call func(context.Context)) {
	f.t.Helper()
	if !served {
		call(f.t.Context())
		return
	}
	f.start("front", "f:1", func(_ http.ResponseWriter, r *http.Request) { call(r.Context()) })
	if status, _, err := do(f.t.Context(), f.client(), http.MethodGet, "http://front/", "", header); status != http.StatusOK {
		f.t.Errorf("the front answered %d, %v", status, err)
	}
}

// One hop of a path retries, be the hops processes or handlers in one.
func TestLocalHandlersRetryForTheirCallers(t *testing.T) {
	eachHop(t, func(t *testing.T, way string, served bool) {
		f := newFleet(t)
		leaves := []string{"a:1", "b:1", "c:1"}
		for _, addr := range leaves {
			f.start("leaf", addr, answer(http.StatusServiceUnavailable))
		}
		next := f.client()
		c := hop(f, way, func(w http.ResponseWriter, r *http.Request) {
			status, _, err := get(r.Context(), next, "http://leaf/")
			if err != nil {
				t.Error(err)
			}
			w.WriteHeader(status)
		})
		from(f, served, nil, func(ctx context.Context) {
			askMid(ctx, t, c, 503, true)
		})
		n := 0
		for _, addr := range leaves {
			n += f.hit(addr)
		}
		if n != 3 {
			t.Errorf("%d attempts at the leaf, want the 3 of one hop", n)
		}
	})
}

// askMid calls the one in the middle, whose answer must have this status and, or
// not, say that retrying has been done.
func askMid(ctx context.Context, t *testing.T, c *transport.Client, status int, marked bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://mid/", nil)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	_ = resp.Body.Close()
	if got := resp.Header.Get(transport.HeaderNoRetry) != ""; resp.StatusCode != status || got != marked {
		t.Errorf("got %d, marked: %v; want %d, marked: %v", resp.StatusCode, got, status, marked)
	}
}

// A handler that makes do without what it called has not failed for its callers,
// whatever layers their call went through.
func TestLocalHandlersThatRecover(t *testing.T) {
	eachHop(t, func(t *testing.T, way string, served bool) {
		f := newFleet(t)
		f.start("leaf", "a:1", answer(http.StatusServiceUnavailable))
		next := f.client()
		c := hop(f, way, func(_ http.ResponseWriter, r *http.Request) {
			if status, _, err := get(r.Context(), next, "http://leaf/"); status != 503 {
				t.Errorf("the leaf answered %d, %v", status, err)
			}
		}, transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"/": {Coalesce: true}}}))
		from(f, served, nil, func(ctx context.Context) {
			askMid(ctx, t, c, 200, false)
		})
	})
}

// How much a call matters is what its header says, from hop to hop.
func TestLocalHandlersPassCriticalityOn(t *testing.T) {
	const name = transport.HeaderCriticality
	for what, tc := range map[string]struct {
		front  string             // that of the request being served; a job has none
		ctx    *limit.Criticality // of the call to mid
		header string             // of the call to mid
		rule   string             // for calls to the leaf that carry none
		want   string             // at the leaf
		job    string             // the same for a job; empty for want
	}{
		"nothing":             {want: "critical"},
		"the caller's":        {front: "sheddable", want: "sheddable", job: "critical"},
		"the context's":       {front: "sheddable", ctx: new(limit.SheddablePlus), want: "sheddable_plus"},
		"the header's":        {front: "sheddable", header: "critical_plus", want: "critical_plus"},
		"a rule's":            {front: "sheddable", rule: "sheddable_plus", want: "sheddable", job: "sheddable_plus"},
		"the header's before": {ctx: new(limit.Sheddable), header: "critical_plus", want: "critical_plus"},
	} {
		t.Run(what, func(t *testing.T) {
			eachHop(t, func(t *testing.T, way string, served bool) {
				f := newFleet(t)
				var mu sync.Mutex
				var got []string
				f.start("leaf", "a:1", func(_ http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					got = r.Header[name]
				})
				next := f.client(transport.WithPolicy(transport.Policy{Routes: map[string]transport.Route{"/": {Criticality: tc.rule}}}))
				c := hop(f, way, func(_ http.ResponseWriter, r *http.Request) {
					if _, _, err := get(r.Context(), next, "http://leaf/"); err != nil {
						t.Error(err)
					}
				})
				front, header := map[string]string{}, map[string]string{}
				if tc.front != "" {
					front[name] = tc.front
				}
				if tc.header != "" {
					header[name] = tc.header
				}
				from(f, served, front, func(ctx context.Context) {
					if tc.ctx != nil {
						ctx = transport.WithCriticality(ctx, *tc.ctx)
					}
					if status, _, err := do(ctx, c, http.MethodGet, "http://mid/", "", header); status != 200 {
						t.Errorf("got %d, %v", status, err)
					}
				})
				want := tc.want
				if !served && tc.job != "" {
					want = tc.job
				}
				mu.Lock()
				defer mu.Unlock()
				if len(got) != 1 || got[0] != want {
					t.Errorf("the leaf was told %q, want %q", got, want)
				}
			})
		})
	}
}

// A handler that is called in process asks the server whose request it works
// for; without one there is nothing that could drain.
func TestDrainingOfLocalHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var draining <-chan struct{}
		c := hop(f, "local, bare", func(_ http.ResponseWriter, r *http.Request) { draining = transport.Draining(r.Context()) })
		ask := func(ctx context.Context) {
			if status, _, err := get(ctx, c, "http://mid/"); status != 200 {
				t.Errorf("got %d, %v", status, err)
			}
		}
		from(f, false, nil, ask)
		if draining != nil {
			t.Error("a job's call can see something drain")
		}
		from(f, true, nil, ask)
		select {
		case <-draining:
			t.Error("the server drains before it is told to")
		default:
		}
		if err := f.servers["f:1"].Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-draining:
		default:
			t.Error("the handler did not learn that its caller's server drains")
		}
	})
}
