package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/coalesce"
)

// server is an inner RoundTripper that takes a second for each answer.
type server struct {
	calls  atomic.Int64
	ended  atomic.Int64 // calls whose context ended before the answer
	answer func(req *http.Request) (*http.Response, error)
}

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.calls.Add(1)
	select {
	case <-time.After(time.Second):
		return s.answer(req)
	case <-req.Context().Done():
		s.ended.Add(1)
		return nil, context.Cause(req.Context())
	}
}

// text answers with body and the header fields given, in pairs.
func text(body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{
			StatusCode: 200, Header: h, ContentLength: -1, Request: req,
			Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}
}

func request(t *testing.T, ctx context.Context, header ...string) *http.Request { //nolint:revive // t first, as everywhere in tests
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pricing/v1/quote?id=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// together makes all requests at once and returns bodies or errors.
func together(t *testing.T, rt http.RoundTripper, reqs ...*http.Request) []string {
	t.Helper()
	got := make([]string, len(reqs))
	var wg sync.WaitGroup
	for i, req := range reqs {
		wg.Go(func() { got[i] = fetch(rt, req) })
		synctest.Wait() // so that the order is certain
	}
	wg.Wait()
	return got
}

func fetch(rt http.RoundTripper, req *http.Request) string {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "error: " + err.Error()
	}
	defer resp.Body.Close()
	resp.Header.Set("X-Mine", "yes") // must be nobody else's
	if resp.Request != req {
		return "another's request"
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "body: " + err.Error()
	}
	return string(b)
}

func TestIdenticalRequestsShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: text("42", "Etag", `"a"`)}
		c := coalesce.New(s, coalesce.Settings{})
		reqs := make([]*http.Request, 20)
		for i := range reqs {
			reqs[i] = request(t, t.Context(), "Authorization", "Bearer x", "Traceparent", fmt.Sprint(i), "X-Request-Id", fmt.Sprint(i))
		}
		for i, got := range together(t, c, reqs...) {
			if got != "42" {
				t.Errorf("caller %d got %q", i, got)
			}
		}
		if n := s.calls.Load(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		if got, want := c.Stats(), (coalesce.Stats{Calls: 1, Shared: 19}); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
		fetch(c, request(t, t.Context()))
		if n := s.calls.Load(); n != 2 {
			t.Errorf("a later request made %d calls, want 1", n-1)
		}
	})
}

func TestDifferentRequestsDoNot(t *testing.T) {
	other := map[string]func(*http.Request){
		"authorization": func(r *http.Request) { r.Header.Set("Authorization", "Bearer y") },
		"no cookie":     func(r *http.Request) { r.Header.Del("Cookie") },
		"accept":        func(r *http.Request) { r.Header.Set("Accept", "text/plain") },
		"range":         func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") },
		"condition":     func(r *http.Request) { r.Header.Set("If-None-Match", `"a"`) },
		"any header":    func(r *http.Request) { r.Header.Set("X-Tenant", "b") },
		"one more":      func(r *http.Request) { r.Header.Add("Accept", "a/b") },
		"split field": func(r *http.Request) {
			r.Header["Accept"] = []string{"a", "b"}
		},
		"method":   func(r *http.Request) { r.Method = http.MethodHead },
		"path":     func(r *http.Request) { r.URL.Path = "/v1/other" },
		"query":    func(r *http.Request) { r.URL.RawQuery = "id=2" },
		"service":  func(r *http.Request) { r.URL.Host = "cart" },
		"host":     func(r *http.Request) { r.Host = "elsewhere" },
		"scheme":   func(r *http.Request) { r.URL.Scheme = "https" },
		"POST":     func(r *http.Request) { r.Method = http.MethodPost },
		"body":     func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) },
		"identity": func(r *http.Request) { *r = *r.WithContext(context.WithValue(r.Context(), tenant{}, "b")) },
	}
	for name, change := range other {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: text("x")}
				c := coalesce.New(s, coalesce.Settings{Identity: func(r *http.Request) string {
					v, _ := r.Context().Value(tenant{}).(string)
					return v
				}})
				a := request(t, t.Context(), "Authorization", "Bearer x", "Cookie", "a=b", "Accept", "a, b")
				b := request(t, t.Context(), "Authorization", "Bearer x", "Cookie", "a=b", "Accept", "a, b")
				change(b)
				together(t, c, a, b)
				if n := s.calls.Load(); n != 2 {
					t.Errorf("%d calls, want 2", n)
				}
			})
		})
	}
}

type tenant struct{}

func TestResponsesThatAreNotShared(t *testing.T) {
	long := strings.Repeat("x", 101)
	for name, c := range map[string]struct {
		body    string
		header  []string
		request []string
		calls   int64
	}{
		"cookie":                     {"x", []string{"Set-Cookie", "session=1"}, nil, 3},
		"no-store":                   {"x", []string{"Cache-Control", "max-age=1, No-Store"}, nil, 3},
		"private to a stranger":      {"x", []string{"Cache-Control", "private"}, nil, 3},
		"private to one known":       {"x", []string{"Cache-Control", "private"}, []string{"Cookie", "a=b"}, 1},
		"varies by what is left out": {"x", []string{"Vary", "accept, x-request-id"}, nil, 3},
		"varies by all":              {"x", []string{"Vary", "*"}, nil, 3},
		"varies by what is equal":    {"x", []string{"Vary", "Accept, Authorization"}, nil, 1},
		"events":                     {"x", []string{"Content-Type", "text/event-stream; charset=utf-8"}, nil, 3},
		"too large":                  {long, nil, nil, 3},
		"as large as may be":         {long[:100], nil, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: text(c.body, c.header...)}
				rt := coalesce.New(s, coalesce.Settings{MaxBytes: 100})
				got := together(t, rt, request(t, t.Context(), c.request...), request(t, t.Context(), c.request...), request(t, t.Context(), c.request...))
				for i := range got {
					if got[i] != c.body {
						t.Errorf("caller %d got %q", i, got[i])
					}
				}
				if n := s.calls.Load(); n != c.calls {
					t.Errorf("%d calls, want %d", n, c.calls)
				}
			})
		})
	}
}

func TestTheCallIsNobodysOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: text("42")}
		c := coalesce.New(s, coalesce.Settings{})
		first, leave := context.WithCancel(t.Context())
		got := make(chan string, 2)
		go func() { got <- fetch(c, request(t, first)) }()
		synctest.Wait()
		go func() { got <- fetch(c, request(t, t.Context())) }()
		synctest.Wait()
		leave()
		if g := <-got; g != "error: context canceled" {
			t.Errorf("who has left got %q", g)
		}
		if g := <-got; g != "42" {
			t.Errorf("who has stayed got %q", g)
		}
		if n := s.calls.Load(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestTheLastOneEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: text("42")}
		c := coalesce.New(s, coalesce.Settings{})
		ctx, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer leave()
		late, leaveToo := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer leaveToo()
		start := time.Now()
		together(t, c, request(t, late), request(t, ctx))
		synctest.Wait()
		if s.ended.Load() != 1 || time.Since(start) != 600*time.Millisecond {
			t.Errorf("%d calls ended after %v, want 1 after 600ms", s.ended.Load(), time.Since(start))
		}
		if g := fetch(c, request(t, t.Context())); g != "42" {
			t.Errorf("the next one got %q", g)
		}
	})
}

// A RoundTripper that keeps to the deadline that it saw at first fails too early
// for who came with more time.
func TestLaterDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := coalesce.New(roundTripper(func(req *http.Request) (*http.Response, error) {
			calls.Add(1)
			d, ok := req.Context().Deadline()
			if !ok || time.Until(d) < time.Second {
				time.Sleep(time.Until(d))
				return nil, fmt.Errorf("call: %w", context.DeadlineExceeded)
			}
			time.Sleep(time.Second)
			return text("42")(req)
		}), coalesce.Settings{})
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		long, cancelLong := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancelLong()
		got := together(t, c, request(t, short), request(t, long), request(t, long))
		if got[0] == "42" || got[1] != "42" || got[2] != "42" {
			t.Errorf("got %q", got)
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}

func TestTheDeadlineIsTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen [3]time.Duration
		c := coalesce.New(roundTripper(func(req *http.Request) (*http.Response, error) {
			for i := range seen {
				if d, ok := req.Context().Deadline(); ok {
					seen[i] = time.Until(d).Round(time.Second)
				}
				time.Sleep(10 * time.Millisecond)
			}
			return text("42")(req)
		}), coalesce.Settings{})
		for i, d := range []time.Duration{10 * time.Second, 20 * time.Second, 0} {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if d > 0 {
				ctx, cancel = context.WithTimeout(ctx, d)
			}
			defer cancel()
			go fetch(c, request(t, ctx))
			synctest.Wait()
			if i < 2 {
				time.Sleep(10*time.Millisecond - time.Microsecond)
			}
		}
		time.Sleep(time.Second)
		if want := [3]time.Duration{10 * time.Second, 20 * time.Second, 0}; seen != want {
			t.Errorf("time left %v, want %v", seen, want)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestErrorsAndPanicsAreShared(t *testing.T) {
	down := errors.New("down")
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"error": func(*http.Request) (*http.Response, error) { return nil, down },
		"panic": func(*http.Request) (*http.Response, error) { panic(down) },
		"body": func(req *http.Request) (*http.Response, error) {
			resp, err := text("")(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("4"), failing{down}))
			return resp, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: answer}
				c := coalesce.New(s, coalesce.Settings{})
				errs := make(chan error, 3)
				for range 3 {
					go func() {
						defer func() {
							if v := recover(); v != nil {
								errs <- v.(*coalesce.PanicError)
							}
						}()
						_, err := c.RoundTrip(request(t, t.Context()))
						errs <- err
					}()
				}
				for range 3 {
					if err := <-errs; !errors.Is(err, down) {
						t.Errorf("got %v", err)
					}
				}
				if n := s.calls.Load(); n != 1 {
					t.Errorf("%d calls, want 1", n)
				}
			})
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// endless is a body that yields one line and then waits for the call's end.
type endless struct {
	ctx    context.Context
	line   io.Reader
	closed *atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) {
	if n, err := e.line.Read(p); err == nil {
		return n, nil
	}
	<-e.ctx.Done()
	return 0, e.ctx.Err()
}

func (e *endless) Close() error {
	e.closed.Store(true)
	return nil
}

func TestAStreamToOneCallerFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		s := &server{answer: func(req *http.Request) (*http.Response, error) {
			resp, err := text("")(req)
			resp.Body = &endless{req.Context(), strings.NewReader("data: 1\n\n"), &closed}
			return resp, err
		}}
		c := coalesce.New(s, coalesce.Settings{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		resp, err := c.RoundTrip(request(t, ctx))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := resp.Body.Read(b); n == 0 || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		if _, err := resp.Body.Read(b); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the caller's time: %v", err)
		}
		resp.Body.Close()
		if !closed.Load() {
			t.Error("the body was not closed")
		}
	})
}

// The first caller leaves while its response, which is nobody else's, is read.
func TestAnUnwantedResponseIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		s := &server{answer: func(req *http.Request) (*http.Response, error) {
			resp, err := text("", "Set-Cookie", "a=b")(req)
			resp.Body = &endless{req.Context(), strings.NewReader("x"), &closed}
			return resp, err
		}}
		c := coalesce.New(s, coalesce.Settings{})
		first, leave := context.WithTimeout(t.Context(), 999*time.Millisecond)
		defer leave()
		second, leaveToo := context.WithTimeout(t.Context(), 1001*time.Millisecond)
		defer leaveToo()
		together(t, c, request(t, first), request(t, second))
		synctest.Wait()
		if !closed.Load() {
			t.Error("the body was not closed")
		}
	})
}

func BenchmarkAlone(b *testing.B) {
	c := coalesce.New(roundTripper(text("42")), coalesce.Settings{})
	req, _ := http.NewRequest(http.MethodGet, "http://pricing/v1/quote", nil)
	req.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

// Who leaves a shared call may change the request, or send it again, while the
// call goes on for the others.
func TestTheRequestIsNobodysOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw string
		c := coalesce.New(roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second) // say, before the second attempt
			saw = req.Header.Get("Accept") + " " + req.URL.RawQuery
			return text("42")(req)
		}), coalesce.Settings{})
		first, leave := context.WithCancel(t.Context())
		req := request(t, first, "Accept", "text/plain")
		got := make(chan string, 2)
		go func() { got <- fetch(c, req) }()
		synctest.Wait()
		go func() { got <- fetch(c, request(t, t.Context(), "Accept", "text/plain")) }()
		synctest.Wait()
		leave()
		<-got
		req.Header.Set("Accept", "text/html")
		req.URL.RawQuery = "id=2"
		if g := <-got; g != "42" || saw != "text/plain id=1" {
			t.Errorf("got %q for %q, want the answer to what was asked", g, saw)
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A call that all have left is ended, though it may take a while to notice: who
// comes then begins another.
func TestNobodyJoinsAnAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		c := coalesce.New(roundTripFunc(func(req *http.Request) (*http.Response, error) {
			calls.Add(1)
			time.Sleep(time.Second) // deaf to its context
			if err := req.Context().Err(); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
		}), coalesce.Settings{})
		for i, wait := range []time.Duration{time.Second / 2, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://pricing/", nil)
			resp, err := c.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			cancel()
			if left := i == 0; left != (err != nil) {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}
