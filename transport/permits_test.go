package transport_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
)

// idle fails the test if anything of any call is still counted as in flight.
func idle(t *testing.T, c *transport.Client) {
	t.Helper()
	for _, s := range c.Services() {
		if n := s.Bulkhead.InFlight(); n != 0 {
			t.Errorf("%s: %d in the bulkhead after the last call", s.Name, n)
		}
		for _, e := range s.Balancer.Endpoints() {
			if n := e.InFlight(); n != 0 {
				t.Errorf("%s: %d in flight on %s after the last call", s.Name, n, e.ID())
			}
		}
	}
}

// hooks is an observer that calls the functions that are set.
type hooks struct {
	startCall, startAttempt, endAttempt, endCall func()
}

func run(f func()) {
	if f != nil {
		f()
	}
}

func (h *hooks) StartCall(ctx context.Context, _ *transport.Call) context.Context {
	run(h.startCall)
	return ctx
}

func (h *hooks) StartAttempt(ctx context.Context, _ *transport.Call, _ *transport.Attempt) context.Context {
	run(h.startAttempt)
	return ctx
}
func (h *hooks) EndAttempt(context.Context, *transport.Call, *transport.Attempt) { run(h.endAttempt) }
func (h *hooks) EndCall(context.Context, *transport.Call)                        { run(h.endCall) }
func (h *hooks) StartService(transport.ServiceState) func()                      { return nil }

// Whoever panics inside a call, its places are given back.
func TestPanicsLeaveNothingInFlight(t *testing.T) {
	boom := func() { panic("boom") }
	for name, tc := range map[string]struct {
		status int
		hooks  hooks
		opts   []transport.ClientOption
		body   io.Reader
	}{
		"start call":               {200, hooks{startCall: boom}, nil, nil},
		"start attempt":            {200, hooks{startAttempt: boom}, nil, nil},
		"end attempt":              {200, hooks{endAttempt: boom}, nil, nil},
		"end call":                 {200, hooks{endCall: boom}, nil, nil},
		"end of a retried attempt": {503, hooks{endAttempt: boom}, nil, nil},
		"fallback of an answer": {500, hooks{}, []transport.ClientOption{transport.WithFallback("", func(context.Context, *http.Request, error) (*http.Response, error) {
			panic("boom")
		})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("cart", "a:1", answer(tc.status))
				c := f.client(append(tc.opts, transport.WithObserver(&tc.hooks))...)
				for range 5 {
					func() {
						defer func() {
							if recover() == nil {
								t.Error("the panic was swallowed")
							}
						}()
						_, _, _ = do(t.Context(), c, "GET", "http://cart/", "", nil)
					}()
				}
				synctest.Wait()
				idle(t, c)
			})
		})
	}
}

func TestCancelledWaitsLeaveNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", answer(503))
		silent, err := transport.NewClient(silence{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = silent.Close() }()
		busy := f.client()
		for _, c := range []*transport.Client{silent, busy} { // before the first list; in the backoff
			for range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
				_, _, _ = get(ctx, c, "http://cart/")
				cancel()
			}
			synctest.Wait()
			idle(t, c)
		}
	})
}

// silence is a registry that never answers.
type silence struct{}

func (silence) Watch(ctx context.Context, _ string) iter.Seq2[[]discovery.Instance, error] {
	return func(func([]discovery.Instance, error) bool) { <-ctx.Done() }
}

// A body that nobody reads or closes holds its places until the call's time is
// up and no longer; one that is closed does not hold them, however often and
// from wherever that is done.
func TestBodiesThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("begin"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		c := f.client()
		resp, err := c.HTTPClient().Get("http://cart/")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		idle(t, c)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, transport.ErrTimeout) {
			t.Errorf("read after the call's time: %v", err)
		}
		_ = resp.Body.Close()

		for range 20 {
			resp, err := c.HTTPClient().Get("http://cart/")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = io.ReadAll(resp.Body) })
			for range 3 {
				wg.Go(func() { _ = resp.Body.Close() })
			}
			wg.Wait()
			idle(t, c)
		}
	})
}

// What an answer's body does is no reason to wait: neither before a retry nor
// behind a fallback.
func TestStalledBodiesOfAbandonedAnswers(t *testing.T) {
	stall := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", stall)
		f.start("cart", "b:1", stall)
		c := f.client(transport.WithFallback("cart", func(context.Context, *http.Request, error) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("plan B"))}, nil
		}))
		start := time.Now()
		_, body, err := get(t.Context(), c, "http://cart/")
		if d := time.Since(start); err != nil || body != "plan B" || d > 2*time.Second || f.total() != 3 {
			t.Errorf("got %q %v after %v and %d attempts, want the fallback's soon after 3", body, err, d, f.total())
		}
		synctest.Wait()
		idle(t, c)
	})
}

func TestFallbackOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.register("cart", "nobody:1")
		c := f.client(transport.WithFallback("", func(context.Context, *http.Request, error) (*http.Response, error) { return nil, nil }))
		if _, _, err := get(t.Context(), c, "http://cart/"); err == nil || !strings.Contains(err.Error(), "neither a response nor an error") {
			t.Errorf("got %v", err)
		}
	})
}

// A caller whose own request body fails or stalls says nothing about the
// service: neither its breaker nor the endpoint may suffer.
func TestBodiesThatFailAreTheCallersFault(t *testing.T) {
	for name, tc := range map[string]struct {
		body   func() io.ReadCloser
		length int64
	}{
		"fails, small":      {func() io.ReadCloser { return io.NopCloser(broken{}) }, 100},
		"fails, unsized":    {func() io.ReadCloser { return io.NopCloser(broken{}) }, -1},
		"stalls, small":     {func() io.ReadCloser { r, _ := io.Pipe(); return r }, 100},
		"stalls, unsized":   {func() io.ReadCloser { r, _ := io.Pipe(); return r }, -1},
		"deaf to close":     {func() io.ReadCloser { return &deaf{} }, -1},
		"deaf, small":       {func() io.ReadCloser { return &deaf{} }, 100},
		"shorter than said": {func() io.ReadCloser { return io.NopCloser(strings.NewReader("x")) }, 100},
		"longer than said":  {func() io.ReadCloser { return io.NopCloser(strings.NewReader(strings.Repeat("x", 101))) }, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("cart", "a:1", func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						w.WriteHeader(400)
					}
				})
				c := f.client()
				for range 15 {
					req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://cart/", nil)
					req.Body, req.ContentLength = tc.body(), tc.length
					start := time.Now()
					resp, err := c.HTTPClient().Do(req)
					if err == nil {
						_ = resp.Body.Close()
						t.Fatalf("got %d", resp.StatusCode)
					}
					if d := time.Since(start); d > 5*time.Second {
						t.Fatalf("took %v, want the policy's 5 s at most", d)
					}
				}
				s := c.Services()[0]
				if got := s.Breaker.State(); got != breaker.Closed {
					t.Errorf("the breaker is %v", got)
				}
				for _, e := range s.Balancer.Endpoints() {
					if e.State() != balance.Available {
						t.Errorf("%s is %v", e.ID(), e.State())
					}
				}
				idle(t, c)
				time.Sleep(time.Hour) // deaf bodies end some day
			})
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

// deaf is a body whose Read does not return because it is closed.
type deaf struct{}

func (*deaf) Read([]byte) (int, error) { time.Sleep(time.Minute); return 0, io.EOF }
func (*deaf) Close() error             { return nil }

// A handler in this process that is deaf to its context holds nobody up.
func TestLocalHandlerDeafToItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		c := f.client(transport.WithLocal("cart", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("begin"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Minute)
		}), 1))
		start := time.Now()
		_, _, err := get(t.Context(), c, "http://cart/")
		if d := time.Since(start); d != 5*time.Second || !errors.Is(err, transport.ErrTimeout) {
			t.Errorf("got %v after %v, want ErrTimeout after 5 s", err, d)
		}
		synctest.Wait() // the timer ends the call as well
		idle(t, c)
		time.Sleep(time.Minute)
	})
}

// A service that sheds is alive and knows what it can do: its circuit stays
// closed while it serves some, and opens when for a whole window it served none.
func TestShedsAndTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var mu sync.Mutex
		n, serve := 0, 20 // one in so many
		f.start("busy", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%serve == 0 {
				return
			}
			w.Header().Set(transport.HeaderShed, "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		c := f.client(transport.WithPolicy(transport.Policy{Retry: retry.Policy{Attempts: 1}}))
		call := func() {
			_, _, _ = get(t.Context(), c, "http://busy/")
			time.Sleep(10 * time.Millisecond)
		}
		for range 2000 {
			call()
		}
		b := c.Services()[0].Breaker
		if s := b.State(); s != breaker.Closed || b.Counts().Rejected > 0 {
			t.Fatalf("the circuit is %v, %+v", s, b.Counts())
		}
		mu.Lock()
		serve = 1 << 30
		mu.Unlock()
		for range 1100 {
			call()
		}
		if s := b.State(); s == breaker.Closed {
			t.Errorf("the circuit is %v after 11 s in which nobody was served", s)
		}
	})
}
