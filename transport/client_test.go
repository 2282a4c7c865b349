package transport_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

func TestCallsSpreadOverInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		addrs := []string{"a:1", "b:1", "c:1"}
		for _, a := range addrs {
			f.start("pricing", a, answer(200))
		}
		c := f.client()
		for range 300 {
			if status, body, err := get(t.Context(), c, "http://pricing/v1/quote"); err != nil || status != 200 || body != "OK" {
				t.Fatalf("got %d %q %v", status, body, err)
			}
		}
		for _, a := range addrs {
			if n := f.hit(a); n < 60 || n > 140 {
				t.Errorf("%s got %d of 300 calls, want about 100", a, n)
			}
			if n := f.net.Dials(a); n != 1 {
				t.Errorf("%s was dialled %d times for calls one after another, want 1", a, n)
			}
		}
	})
}

// What is retried, and how often a server sees it.
func TestRetries(t *testing.T) {
	shed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(transport.HeaderShed, "1")
		w.WriteHeader(503)
	}
	noRetry := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(transport.HeaderNoRetry, "1")
		w.WriteHeader(503)
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	key := map[string]string{"Idempotency-Key": "k1"}
	for name, tc := range map[string]struct {
		method  string
		header  map[string]string
		bad     http.HandlerFunc // of every instance
		status  int              // 0 for an error
		deliver int              // requests that handlers see
	}{
		"GET on 503":               {method: "GET", bad: answer(503), status: 503, deliver: 3},
		"GET on 502":               {method: "GET", bad: answer(502), status: 502, deliver: 3},
		"GET on 500":               {method: "GET", bad: answer(500), status: 500, deliver: 1},
		"GET on 404":               {method: "GET", bad: answer(404), status: 404, deliver: 1},
		"GET on 429 without time":  {method: "GET", bad: answer(429), status: 429, deliver: 1},
		"GET on a reset":           {method: "GET", bad: abort, deliver: 3},
		"PUT on 503":               {method: "PUT", bad: answer(503), status: 503, deliver: 3},
		"POST on 503":              {method: "POST", bad: answer(503), status: 503, deliver: 1},
		"POST on a reset":          {method: "POST", bad: abort, deliver: 1},
		"POST with a key on 503":   {method: "POST", header: key, bad: answer(503), status: 503, deliver: 3},
		"POST with a key on reset": {method: "POST", header: key, bad: abort, deliver: 3},
		"PATCH on 503":             {method: "PATCH", bad: answer(503), status: 503, deliver: 1},
		"POST that was shed":       {method: "POST", bad: shed, status: 503, deliver: 3},
		"GET, server has retried":  {method: "GET", bad: noRetry, status: 503, deliver: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				seen := map[string]int{}
				var mu sync.Mutex
				for _, addr := range []string{"a:1", "b:1", "c:1", "d:1"} {
					f.start("pricing", addr, func(w http.ResponseWriter, r *http.Request) {
						b, _ := io.ReadAll(r.Body)
						if tc.method != "GET" && string(b) != "the body" {
							t.Errorf("a handler got the body %q", b)
						}
						mu.Lock()
						seen[r.Header.Get(transport.HeaderAttempt)]++
						mu.Unlock()
						tc.bad(w, r)
					})
				}
				body := ""
				if tc.method != "GET" {
					body = "the body"
				}
				status, _, err := do(t.Context(), f.client(), tc.method, "http://pricing/", body, tc.header)
				if status != tc.status || (err == nil) != (tc.status != 0) {
					t.Errorf("got %d, %v; want status %d", status, err, tc.status)
				}
				if n := f.total(); n != tc.deliver {
					t.Errorf("delivered %d times, want %d", n, tc.deliver)
				}
				for i := range tc.deliver {
					if seen[strconv.Itoa(i+1)] != 1 {
						t.Errorf("attempt numbers seen: %v", seen)
					}
				}
				for _, a := range []string{"a:1", "b:1", "c:1", "d:1"} {
					if f.hit(a) > 1 {
						t.Errorf("%s was tried %d times in one call while others were left", a, f.hit(a))
					}
				}
			})
		})
	}
}

func TestRetryFindsAHealthyInstance(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"none":              func() io.Reader { return nil },
		"replayable":        func() io.Reader { return strings.NewReader("0123456789") },
		"of known length":   func() io.Reader { return &sized{Reader: strings.NewReader("0123456789")} },
		"of unknown length": func() io.Reader { return io.MultiReader(strings.NewReader("01234"), strings.NewReader("56789")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("cart", "good:1", func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					_, _ = w.Write(b)
				})
				f.register("cart", "dead:1") // nobody listens there
				f.register("cart", "dead:2")
				c := f.client()
				for range 50 {
					req, err := http.NewRequestWithContext(t.Context(), "POST", "http://cart/items", body())
					if err != nil {
						t.Fatal(err)
					}
					if _, ok := req.Body.(*sized); ok {
						req.ContentLength = 10
					}
					want := ""
					if req.Body != nil {
						want = "0123456789"
					}
					resp, err := c.HTTPClient().Do(req)
					if err != nil {
						t.Fatalf("a POST that could not be connected was not sent elsewhere: %v", err)
					}
					b, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if string(b) != want {
						t.Fatalf("the handler got %q, want %q", b, want)
					}
				}
				if n := f.net.Dials("dead:1") + f.net.Dials("dead:2"); n > 10 {
					t.Errorf("dead instances were dialled %d times in 50 calls", n)
				}
			})
		})
	}
}

// sized hides from net/http that its reader can be made again.
type sized struct{ io.Reader }

func (*sized) Close() error { return nil }

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var mu sync.Mutex
		var asked []time.Duration
		f.start("slow", "a:1", func(w http.ResponseWriter, r *http.Request) {
			d, ok := r.Context().Deadline()
			if !ok {
				t.Error("the handler has no deadline")
			}
			mu.Lock()
			asked = append(asked, time.Until(d).Round(100*time.Millisecond))
			mu.Unlock()
			time.Sleep(6 * time.Second) // deaf to its context
		})
		c := f.client()

		start := time.Now()
		_, _, err := get(t.Context(), c, "http://slow/")
		if d := time.Since(start); d > 5*time.Second || d < 4*time.Second {
			t.Errorf("the call took %v, want the policy's 5 s at most", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, transport.ErrTimeout) && !errors.Is(err, transport.ErrAttemptTimeout) {
			t.Errorf("got %v, want a timeout", err)
		}
		e, ok := errors.AsType[*transport.Error](err)
		if !ok || e.Service != "slow" || e.Instance != "a:1" || !e.Sent || !e.Timeout() {
			t.Errorf("got %#v", e)
		}
		synctest.Wait() // for the handlers
		for i, d := range asked {
			if most := 5*time.Second - time.Duration(i)*2*time.Second; d > most || d <= 0 {
				t.Errorf("attempt %d was given %v, want what was left of the call: %v at most", i+1, d, most)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		asked, start = nil, time.Now()
		_, _, err = get(ctx, c, "http://slow/")
		if d := time.Since(start); d != 300*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took %v with %v, want the caller's 300 ms", d, err)
		}
		synctest.Wait()
		if len(asked) != 1 || asked[0] != 300*time.Millisecond {
			t.Errorf("the server was given %v, want what was left of the caller's 300 ms", asked)
		}
		time.Sleep(10 * time.Second) // until the handlers have ended
	})
}

func TestTimeoutHoldsForTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("drip", "a:1", func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		})
		start := time.Now()
		_, body, err := get(t.Context(), f.client(), "http://drip/")
		if d := time.Since(start); d < 4990*time.Millisecond || d > 5*time.Second || !errors.Is(err, transport.ErrTimeout) {
			t.Errorf("body %q ended after %v with %v, want ErrTimeout within the last moments of 5 s", body, d, err)
		}
	})
}

func TestCallerWhoGivesUpIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("slow", "a:1", after(time.Second))
		c := f.client()
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, _, err := get(ctx, c, "http://slow/"); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want context.Canceled", err)
			}
			cancel()
		}
		if n := f.total(); n != 100 {
			t.Errorf("%d requests, want 100: a cancelled call is not retried", n)
		}
		s := c.Services()[0]
		if s.Breaker.State() != breaker.Closed || s.Bulkhead.InFlight() != 0 || s.Balancer.Stats().Ejected != 0 {
			t.Errorf("breaker %v, in flight %d, ejected %d; want closed, 0, 0", s.Breaker.State(), s.Bulkhead.InFlight(), s.Balancer.Stats().Ejected)
		}
	})
}

// The caller's deadline and the timer that follows from it are set for the same
// moment. Whichever runs first, the endpoint has let the time pass, and the
// circuit is not told.
func TestCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		// None of 20 at once waits for a place, to be refused at that moment too.
		places := transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 100}})
		f.start("slow", "a:1", func(_ http.ResponseWriter, _ *http.Request) { time.Sleep(time.Second) }, places)
		outcomes := &outcomes{}
		c := f.client(transport.WithObserver(outcomes))
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, _, err := get(ctx, c, "http://slow/"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want context.DeadlineExceeded", err)
			}
			cancel()
		}
		if calls, attempts := outcomes.count[transport.Cancelled], outcomes.count[transport.Timeout]; calls != 100 || attempts != 100 {
			t.Errorf("outcomes %v, want 100 calls cancelled and 100 attempts that timed out", outcomes.count)
		}
		if s := c.Services()[0]; s.Breaker.State() != breaker.Closed || s.Breaker.Counts().Failures != 0 {
			t.Errorf("breaker %v, %+v; want closed and no failures", s.Breaker.State(), s.Breaker.Counts())
		}
		time.Sleep(2 * time.Second) // until the handlers have ended
	})
}

// outcomes counts those of calls and attempts.
type outcomes struct {
	hooks
	mu    sync.Mutex
	count [transport.Timeout + 1]int
}

func (o *outcomes) EndAttempt(_ context.Context, _ *transport.Call, a *transport.Attempt) {
	o.add(a.Outcome)
}

func (o *outcomes) EndCall(_ context.Context, c *transport.Call) { o.add(c.Outcome) }

func (o *outcomes) add(outcome transport.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count[outcome]++
}

func TestBreakerOpensAndFallbackAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		down := true
		f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
			if down {
				w.WriteHeader(500)
			}
		})
		c := f.client()
		for range 10 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); status != 500 {
				t.Fatalf("got %d %v", status, err)
			}
		}
		_, _, err := get(t.Context(), c, "http://pricing/")
		if !errors.Is(err, breaker.ErrOpen) {
			t.Fatalf("got %v after 10 failures in a row, want an open circuit", err)
		}
		rejected, ok := errors.AsType[*breaker.RejectedError](err)
		if !ok || rejected.RetryAfter <= 0 || rejected.RetryAfter > 1200*time.Millisecond {
			t.Errorf("got %#v, want when to try again", rejected)
		}
		if e, ok := errors.AsType[*transport.Error](err); !ok || e.Sent || e.Attempts != 0 || !transport.Unavailable(err) {
			t.Errorf("got %#v, want a call that was never sent", e)
		}
		if n := f.total(); n != 10 {
			t.Errorf("%d requests, want 10", n)
		}

		withFallback := f.client(transport.WithFallback("pricing", func(_ context.Context, _ *http.Request, _ error) (*http.Response, error) {
			return &http.Response{StatusCode: 203, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("last known"))}, nil
		}))
		for range 12 { // both when the service fails and when its circuit is open
			if status, body, err := get(t.Context(), withFallback, "http://pricing/"); status != 203 || body != "last known" {
				t.Fatalf("got %d %q %v, want the fallback", status, body, err)
			}
		}

		down = false
		time.Sleep(20 * time.Second)
		for i := range 20 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); err == nil && status != 200 {
				t.Fatalf("call %d after the recovery: %d", i, status)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
			t.Errorf("long after the recovery: %d %v", status, err)
		}
	})
}

func TestBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("slow", "a:1", after(time.Second))
		c := f.client(transport.WithPolicy(transport.Policy{Limit: limit.Policy{MaxInflight: 3}}))
		var full, ok int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, _, err := get(t.Context(), c, "http://slow/")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					ok++
				case errors.Is(err, transport.ErrBulkheadFull):
					full++
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if ok != 3 || full != 7 {
			t.Errorf("%d passed and %d were refused, want 3 and 7", ok, full)
		}
		if n := c.Services()[0].Bulkhead.InFlight(); n != 0 {
			t.Errorf("%d in flight at the end", n)
		}
	})
}

func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		c := f.client()
		for range 30 {
			start := time.Now()
			_, _, err := get(t.Context(), c, "http://ghost/")
			if !errors.Is(err, transport.ErrNoInstances) || time.Since(start) > 100*time.Millisecond {
				t.Fatalf("got %v after %v, want ErrNoInstances at once", err, time.Since(start))
			}
		}
		f.start("ghost", "a:1", answer(200))
		synctest.Wait()
		if status, _, err := get(t.Context(), c, "http://ghost/"); status != 200 {
			t.Errorf("got %d %v as soon as there is an instance, want 200: an absent service must not open the breaker", status, err)
		}
		if _, _, err := get(t.Context(), c, "http://no_such_name/"); err == nil {
			t.Error("a name that no registry may be asked for was accepted")
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		busyUntil := time.Now().Add(900 * time.Millisecond)
		f.start("busy", "a:1", func(w http.ResponseWriter, r *http.Request) {
			if time.Now().Before(busyUntil) {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(429)
			}
		})
		start := time.Now()
		status, _, err := get(t.Context(), f.client(), "http://busy/")
		if d := time.Since(start); status != 200 || d < time.Second || d > 2*time.Second {
			t.Errorf("got %d %v after %v, want 200 after the second that was asked for", status, err, d)
		}

		busyUntil = time.Now().Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start = time.Now()
		status, _, err = get(ctx, f.client(), "http://busy/")
		if d := time.Since(start); status != 429 || d > 50*time.Millisecond {
			t.Errorf("got %d %v after %v, want the 429 at once: the deadline does not allow the wait", status, err, d)
		}
	})
}

// A chain of services whose last one fails must not multiply attempts.
func TestRetriesDoNotMultiplyAlongAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		leaf := 0
		f.start("d", "d:1", func(w http.ResponseWriter, _ *http.Request) { leaf++; w.WriteHeader(503) })
		for _, hop := range [][2]string{{"c", "d"}, {"b", "c"}, {"a", "b"}} {
			next := f.client()
			f.start(hop[0], hop[0]+":1", func(w http.ResponseWriter, r *http.Request) {
				status, _, err := get(r.Context(), next, "http://"+hop[1]+"/")
				if err != nil {
					status = 503
				}
				w.WriteHeader(status)
			})
		}
		if status, _, err := get(t.Context(), f.client(), "http://a/"); status != 503 {
			t.Fatalf("got %d %v", status, err)
		}
		if leaf != 3 {
			t.Errorf("the leaf saw %d attempts of one call, want the 3 of its own callers", leaf)
		}
	})
}

// A service that can do much without its neighbour must not lose its circuit,
// or its instances, because the neighbour is down.
func TestFailuresFurtherDownAreNotTheServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			f.start("cart", addr, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/checkout" { // needs a neighbour that is down
					w.Header().Set(transport.HeaderNoRetry, "1")
					w.WriteHeader(503)
				}
			})
		}
		c := f.client()
		for range 60 {
			if status, _, err := do(t.Context(), c, "POST", "http://cart/checkout", "", nil); status != 503 {
				t.Fatalf("got %d %v", status, err)
			}
			if status, _, err := get(t.Context(), c, "http://cart/"); status != 200 {
				t.Fatalf("got %d %v of what works without the neighbour", status, err)
			}
		}
		s := c.Services()[0]
		if s.Breaker.State() != breaker.Closed || s.Balancer.Stats().Available != 3 {
			t.Errorf("breaker %v, %+v", s.Breaker.State(), s.Balancer.Stats())
		}
		if n := f.total(); n != 120 {
			t.Errorf("%d requests for 120 calls: who was told not to retry did", n)
		}
	})
}

func TestRetryBudgetBoundsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("down", "a:1", answer(503))
		c := f.client(transport.WithPolicy(transport.Policy{Breaker: breaker.Settings{Consecutive: 1 << 20, MinCalls: 1 << 20}}))
		for range 1000 {
			_, _, _ = get(t.Context(), c, "http://down/")
		}
		if n := f.total(); n > 1010 {
			t.Errorf("1000 calls made %d attempts in a total outage, want 1010 at most", n)
		}
	})
}

// A retry after a timeout costs twice as much as another: it has made a server
// work for nothing already.
func TestRetriesAfterTimeoutsCostDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("slow", "a:1", after(time.Minute))
		f.start("failing", "b:1", answer(503))
		c := f.client()
		for service, want := range map[string]float64{"slow": 10 - 2*2, "failing": 10 - 2*1} {
			_, _, _ = get(t.Context(), c, "http://"+service+"/") // 3 attempts
			for _, s := range c.Services() {
				if s.Name == service && s.Budget.Tokens() != want {
					t.Errorf("%s: %v tokens left, want %v", service, s.Budget.Tokens(), want)
				}
			}
		}
	})
}

func TestResponseLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("big", "a:1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/header" {
				w.Header().Set("X-Big", strings.Repeat("x", 1<<20))
				return
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		c := f.client(transport.WithPolicy(transport.Policy{ResponseBytes: 10_000, Retry: retry.Policy{Attempts: 1}}))
		_, body, err := get(t.Context(), c, "http://big/")
		if !errors.Is(err, transport.ErrBodyTooLarge) || len(body) != 10_000 {
			t.Errorf("read %d bytes and %v, want 10,000 and ErrBodyTooLarge", len(body), err)
		}
		if _, _, err := get(t.Context(), c, "http://big/header"); err == nil {
			t.Error("a header of 1 MiB was accepted")
		}
	})
}

// Whatever happens to calls, nothing stays counted as in flight.
func TestInFlightReturnsToZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			f.start("mix", addr, func(w http.ResponseWriter, r *http.Request) {
				switch rand.IntN(6) {
				case 0:
					w.WriteHeader(503)
				case 1:
					panic(http.ErrAbortHandler)
				case 2:
					after(3*time.Second)(w, r)
				case 3:
					w.Header().Set("Content-Length", "100")
					_, _ = w.Write([]byte("short"))
				default:
					_, _ = w.Write([]byte("fine"))
				}
			})
		}
		c := f.client()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(4000))*time.Millisecond)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://mix/", nil)
				resp, err := c.HTTPClient().Do(req)
				if err != nil {
					return
				}
				if rand.IntN(2) == 0 {
					_, _ = io.Copy(io.Discard, resp.Body)
				}
				_ = resp.Body.Close()
			})
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
		s := c.Services()[0]
		if n := s.Bulkhead.InFlight(); n != 0 {
			t.Errorf("%d calls in flight at the end", n)
		}
		for _, e := range s.Balancer.Endpoints() {
			if n := e.InFlight(); n != 0 {
				t.Errorf("%s has %d attempts in flight at the end", e.ID(), n)
			}
		}
	})
}

func TestDepartedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", after(time.Second))
		c := f.client()
		done := make(chan error, 1)
		go func() { _, _, err := get(t.Context(), c, "http://cart/"); done <- err }()
		time.Sleep(100 * time.Millisecond)
		f.instances["cart"] = nil
		f.start("cart", "b:1", answer(200))
		synctest.Wait()
		for range 20 {
			if status, _, err := get(t.Context(), c, "http://cart/"); status != 200 {
				t.Fatalf("%d %v", status, err)
			}
		}
		if f.hit("a:1") != 1 {
			t.Errorf("an instance that has left got %d calls", f.hit("a:1"))
		}
		if err := <-done; err != nil {
			t.Errorf("the call in flight when its instance left failed: %v", err)
		}
	})
}

func TestOutsideAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		calls := 0
		flaky := func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls%2 == 1 {
				w.WriteHeader(503)
				return
			}
			_, _ = io.WriteString(w, r.Host)
		}
		f.listen("127.0.0.1:8080", flaky)
		f.listen("api.example.com:80", flaky)
		c := f.client()
		for url, host := range map[string]string{
			"http://127.0.0.1:8080/x":        "127.0.0.1:8080",
			"http://api.example.com/x":       "api.example.com",
			"http://user:pw@127.0.0.1:8080/": "127.0.0.1:8080",
		} {
			if status, body, err := get(t.Context(), c, url); status != 200 || body != host {
				t.Errorf("%s: got %d %q %v, want a retried call with Host %s", url, status, body, err, host)
			}
		}
	})
}

func TestRedirectsStayWithTheirHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("evil", "e:1", func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") })
		f.start("shop", "s:1", func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/away":
				http.Redirect(w, r, "http://evil/", http.StatusTemporaryRedirect)
			case "/here":
				http.Redirect(w, r, "/there", http.StatusFound)
			case "/there":
				w.WriteHeader(201)
			}
		})
		c := f.client()
		if status, _, err := do(t.Context(), c, "POST", "http://shop/away", "secret", map[string]string{"Authorization": "Bearer x"}); status != 307 {
			t.Errorf("got %d %v, want the redirect itself", status, err)
		}
		if status, _, err := get(t.Context(), c, "http://shop/here"); status != 201 {
			t.Errorf("got %d %v, want a redirect on the same host to be followed", status, err)
		}
	})
}

func TestClosedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		c, err := transport.NewClient(f.static, transport.WithDialer(f.net.Dial))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := get(t.Context(), c, "http://cart/"); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestClosedClientHasForgottenItsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", answer(200))
		c := f.client()
		if _, _, err := get(t.Context(), c, "http://cart/"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if status, _, err := get(t.Context(), c, "http://cart/"); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("got %d %v, want ErrClosed", status, err)
		}
	})
}

func TestIdleServicesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", answer(200))
		c := f.client(transport.WithIdle(time.Minute))
		_, _, _ = get(t.Context(), c, "http://cart/")
		time.Sleep(30 * time.Second)
		if len(c.Services()) != 1 {
			t.Error("a service was forgotten too early")
		}
		time.Sleep(3 * time.Minute)
		if n := len(c.Services()); n != 0 {
			t.Errorf("%d services are kept after 3 min without a call, want 0", n)
		}
		if status, _, err := get(t.Context(), c, "http://cart/"); status != 200 {
			t.Errorf("a forgotten service: %d %v", status, err)
		}
	})
}

func TestBadPolicy(t *testing.T) {
	f := newFleet(t)
	_, err := transport.NewClient(f.static,
		transport.WithPolicy(transport.Policy{Timeout: -1}),
		transport.WithServicePolicy("cart", transport.Policy{Timeout: time.Second, AttemptTimeout: time.Minute}),
	)
	for _, want := range []string{"timeout is -1ns", `"cart"`, "attempt_timeout 1m0s is longer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want all that is wrong, %q too", err, want)
		}
	}
}
