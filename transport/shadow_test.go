package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
)

// shadowLog is an observer that keeps what it is told of shadows, and counts
// attempts.
type shadowLog struct {
	watcher
	mu       sync.Mutex
	seen     []transport.Shadow
	attempts atomic.Int64
}

func (l *shadowLog) Shadow(s transport.Shadow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s)
}

func (l *shadowLog) EndAttempt(context.Context, *transport.Call, *transport.Attempt) {
	l.attempts.Add(1)
}

// results counts what was told, by result.
func (l *shadowLog) results() map[transport.ShadowResult]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[transport.ShadowResult]int{}
	for _, s := range l.seen {
		n[s.Result]++
	}
	return n
}

// shadowing is the policy by which v1 gets the calls and v2 a shadow of each.
func shadowing() transport.Policy {
	return transport.Policy{Balance: balance.Policy{
		Select: balance.Selector{Version: "v1"},
		Shadow: balance.Shadow{Select: balance.Selector{Version: "v2"}, Percent: 100},
	}}
}

// byVersion serves a request with the handler of the version that it is sent to.
func byVersion(v1, v2 http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("Version") == "v2" {
			v2(w, r)
			return
		}
		v1(w, r)
	}
}

func TestShadowResults(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	slow := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		answer(200)(w, r)
	}
	hang := after(time.Hour)
	flaky := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(transport.HeaderAttempt) == "1" {
			w.WriteHeader(503)
		}
	}
	for name, tc := range map[string]struct {
		v1, v2       http.HandlerFunc
		result       transport.ShadowResult
		call, shadow int // statuses
		took         time.Duration
	}{
		"same":                   {v1: answer(200), v2: answer(200), result: transport.ShadowMatch, call: 200, shadow: 200},
		"same, not found":        {v1: answer(404), v2: answer(404), result: transport.ShadowMatch, call: 404, shadow: 404},
		"other":                  {v1: answer(200), v2: answer(500), result: transport.ShadowMismatch, call: 200, shadow: 500},
		"breaks off":             {v1: answer(200), v2: abort, result: transport.ShadowError, call: 200},
		"call breaks off":        {v1: abort, v2: answer(200), result: transport.ShadowError, shadow: 200},
		"slow":                   {v1: answer(200), v2: slow, result: transport.ShadowMatch, call: 200, shadow: 200, took: time.Second},
		"out of time":            {v1: answer(200), v2: hang, result: transport.ShadowError, call: 200, took: transport.DefaultAttemptTimeout},
		"call is slow":           {v1: slow, v2: answer(200), result: transport.ShadowMatch, call: 200, shadow: 200},
		"call is out of time":    {v1: hang, v2: answer(200), result: transport.ShadowError, shadow: 200},
		"call succeeds at last":  {v1: flaky, v2: answer(200), result: transport.ShadowMatch, call: 200, shadow: 200},
		"shadow is no retry, so": {v1: answer(200), v2: flaky, result: transport.ShadowMismatch, call: 200, shadow: 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.versions("pricing", byVersion(tc.v1, tc.v2), "v1", "v1", "v2")
				log := &shadowLog{}
				c := f.client(transport.WithServicePolicy("pricing", shadowing()), transport.WithObserver(log))
				start := time.Now()
				status, _, err := get(t.Context(), c, "http://pricing/")
				if status != tc.call || (err != nil) != (tc.call == 0) {
					t.Errorf("the caller got %d %v, want %d", status, err, tc.call)
				}
				if tc.took > 0 && time.Since(start) != 0 {
					t.Errorf("the call took %v for its shadow", time.Since(start))
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := f.hit("pricing-2:1"); n != 1 || len(log.seen) != 1 {
					t.Fatalf("%d shadows arrived and %d were told of, want 1", n, len(log.seen))
				}
				s := log.seen[0]
				if s.Result != tc.result || s.CallStatus != tc.call || s.Status != tc.shadow || s.Duration != tc.took ||
					(s.Err != nil) != (tc.shadow == 0) || s.Service != "pricing" || s.Method != "GET" || s.Instance.ID != "pricing-2:1" {
					t.Errorf("told of %+v", s)
				}
			})
		})
	}
}

// Which requests are sent twice, and that the shadow gets them whole.
func TestShadowedRequests(t *testing.T) {
	key := map[string]string{"Idempotency-Key": "k"}
	text := func() io.Reader { return strings.NewReader("the body") }
	for name, tc := range map[string]struct {
		method string
		header map[string]string
		body   func() io.Reader
		reads  int // shadows with the default policy
		writes int // shadows if writes are allowed
	}{
		"GET":                    {"GET", nil, nil, 1, 1},
		"HEAD":                   {"HEAD", nil, nil, 1, 1},
		"OPTIONS":                {"OPTIONS", nil, nil, 1, 1},
		"GET with a body":        {"GET", nil, text, 1, 1},
		"GET, body of a stream":  {"GET", nil, func() io.Reader { return io.MultiReader(text()) }, 0, 0},
		"GET, body of a length":  {"GET", nil, func() io.Reader { return &sized{text()} }, 1, 1},
		"GET, too large":         {"GET", nil, func() io.Reader { return strings.NewReader(strings.Repeat("x", 64<<10+1)) }, 0, 0},
		"GET, upgrade":           {"GET", map[string]string{"Upgrade": "x", "Connection": "upgrade"}, nil, 0, 0},
		"PUT":                    {"PUT", nil, text, 0, 1},
		"DELETE":                 {"DELETE", nil, nil, 0, 1},
		"POST":                   {"POST", nil, text, 0, 0},
		"POST with a key":        {"POST", key, text, 0, 1},
		"PATCH with a key, none": {"PATCH", key, nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var got []string
				f.versions("pricing", byVersion(answer(200), func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					got = append(got, r.Method+" "+r.Host+r.URL.String()+" "+r.Header.Get("X-Custom")+" "+
						r.Header.Get(transport.HeaderCriticality)+" "+r.Header.Get(transport.HeaderAttempt)+" "+
						r.Header.Get(transport.HeaderTimeout)+" "+string(b))
				}), "v1", "v2")
				for _, writes := range []bool{false, true} {
					p := shadowing()
					p.Balance.Shadow.Writes = writes
					c := f.client(transport.WithServicePolicy("pricing", p))
					var body io.Reader
					sent := ""
					if tc.body != nil {
						body, sent = tc.body(), "the body"
					}
					req := request(t, "http://pricing/a?b=c", body)
					req.Method = tc.method
					if _, ok := req.Body.(*sized); ok {
						req.ContentLength = 8
					}
					req.Header.Set("X-Custom", "1")
					for k, v := range tc.header {
						req.Header.Set(k, v)
					}
					ctx := transport.WithCriticality(req.Context(), limit.Critical)
					got = nil
					resp, err := c.RoundTrip(req.WithContext(ctx))
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					synctest.Wait()
					want := tc.reads
					if writes {
						want = tc.writes
					}
					if len(got) != want {
						t.Errorf("writes %v: %d shadows, want %d", writes, len(got), want)
					}
					if line := tc.method + " pricing/a?b=c 1 sheddable 1 2000 " + sent; len(got) == 1 && got[0] != line {
						t.Errorf("the shadow was %q, want %q", got[0], line)
					}
				}
			})
		})
	}
}

// However badly the other version does, the calls do not notice, and neither
// does what judges them.
func TestShadowsCountForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("pricing", byVersion(answer(200), answer(503)), "v1", "v2")
		log := &shadowLog{}
		p := shadowing()
		p.Balance.Select = balance.Selector{}
		p.Balance.Splits = []balance.Split{{To: []balance.Share{share("v1", 100)}}}
		c := f.client(transport.WithServicePolicy("pricing", p), transport.WithObserver(log))
		_, _, _ = get(t.Context(), c, "http://pricing/")
		s := c.Services()[0]
		tokens := s.Budget.Tokens()
		for range 200 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
				t.Fatalf("got %d %v", status, err)
			}
			synctest.Wait()
		}
		if n := log.results()[transport.ShadowMismatch]; n != 201 {
			t.Errorf("%d mismatches, want 201", n)
		}
		if n := log.attempts.Load(); n != 201 {
			t.Errorf("%d attempts were told of, want 201", n)
		}
		if s.Breaker.State() != breaker.Closed || s.Budget.Tokens() < tokens || s.Bulkhead.InFlight() != 0 {
			t.Errorf("breaker %v, %v tokens of %v, %d in flight", s.Breaker.State(), s.Budget.Tokens(), tokens, s.Bulkhead.InFlight())
		}
		for _, e := range s.Balancer.Endpoints() {
			if e.State() != balance.Available || e.InFlight() != 0 {
				t.Errorf("%s is %v and has %d in flight", e.ID(), e.State(), e.InFlight())
			}
		}
	})
}

// No more shadows are on their way than the policy says, and Close ends them.
func TestShadowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("pricing", byVersion(answer(200), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "v1", "v2")
		log := &shadowLog{}
		p := shadowing()
		p.AttemptTimeout, p.Timeout = time.Hour, time.Hour
		p.Balance.Shadow.MaxInFlight = 3
		c := f.client(transport.WithServicePolicy("pricing", p), transport.WithObserver(log))
		for range 10 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
				t.Fatalf("got %d %v", status, err)
			}
			synctest.Wait()
		}
		if n := f.hit("pricing-1:1"); n != 3 || log.results()[transport.ShadowDropped] != 7 {
			t.Errorf("%d shadows are on their way, told of %v", n, log.results())
		}
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > time.Second {
			t.Errorf("Close took %v", time.Since(start))
		}
		if n := log.results()[transport.ShadowError]; n != 3 || !errors.Is(log.seen[len(log.seen)-1].Err, transport.ErrClosed) {
			t.Errorf("told of %v", log.seen)
		}
	})
}

// The caller may use its request again as soon as the call is over, whatever
// becomes of the shadow.
func TestShadowOutlivesTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var got []string
		f.versions("pricing", byVersion(answer(200), func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got = append(got, r.URL.Path+" "+r.Header.Get("X-Custom")+" "+string(b))
		}), "v1", "v2")
		c := f.client(transport.WithServicePolicy("pricing", shadowing()),
			transport.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr == "pricing-1:1" {
					time.Sleep(100 * time.Millisecond)
				}
				return f.net.Dial(ctx, network, addr)
			}))
		ctx, cancel := context.WithCancel(t.Context())
		buf := []byte("before")
		req, err := http.NewRequestWithContext(ctx, "GET", "http://pricing/before", bytes.NewReader(buf))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Custom", "before")
		resp, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		cancel()
		copy(buf, "after!")
		req.Header["X-Custom"][0] = "after"
		req.URL.Path = "/after"
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 1 || got[0] != "/before before before" {
			t.Errorf("the shadow was %q", got)
		}
	})
}

// What makes the body again and fails costs the call nothing.
func TestShadowWithoutABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("pricing", answer(200), "v1", "v2")
		log := &shadowLog{}
		c := f.client(transport.WithServicePolicy("pricing", shadowing()), transport.WithObserver(log))
		for name, again := range map[string]func() (io.ReadCloser, error){
			"fails": func() (io.ReadCloser, error) { return nil, errors.New("gone") },
			"short": func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil },
		} {
			req := request(t, "http://pricing/", strings.NewReader("the body"))
			req.Method, req.GetBody = "GET", again
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_ = resp.Body.Close()
		}
		synctest.Wait()
		if n := f.hit("pricing-1:1"); n != 0 || log.results()[transport.ShadowDropped] != 2 || log.seen[0].Err == nil {
			t.Errorf("%d shadows arrived, told of %+v", n, log.seen)
		}
		req := request(t, "http://pricing/", strings.NewReader("the body"))
		req.Method, req.GetBody = "GET", func() (io.ReadCloser, error) { panic("here") }
		func() {
			defer func() { _ = recover() }()
			_, _ = c.RoundTrip(req)
		}()
		for _, e := range c.Services()[0].Balancer.Endpoints() {
			if e.InFlight() != 0 {
				t.Errorf("%s has %d in flight", e.ID(), e.InFlight())
			}
		}
	})
}
