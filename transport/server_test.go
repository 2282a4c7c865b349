package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

func TestPanicsAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		obs := &requests{}
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/before":
				w.Header().Set("Set-Cookie", "secret=1")
				panic("at the disco")
			case "/after":
				_, _ = w.Write([]byte("half"))
				_ = http.NewResponseController(w).Flush()
				panic("late")
			case "/abort":
				panic(http.ErrAbortHandler)
			}
		}, transport.WithServerObserver(obs))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		resp, err := c.Get("http://a:1/before")
		if err != nil {
			t.Fatal(err)
		}
		var p transport.Problem
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err := json.Unmarshal(b, &p); err != nil || p.Status != 500 || strings.Contains(string(b), "disco") || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("got %d %v %s, want a bare 500 problem", resp.StatusCode, resp.Header, b)
		}
		resp, err = c.Get("http://a:1/after")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a response that was cut off by a panic reads as the complete body %q", b)
		}
		_ = resp.Body.Close()
		if resp, err = c.Get("http://a:1/abort"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("got %d of a handler that aborted, want an error", resp.StatusCode)
		}
		synctest.Wait()
		if got := obs.panics(); fmt.Sprint(got) != "[at the disco late <nil>]" {
			t.Errorf("panics reported: %v; want both real ones and not the abort", got)
		}
	})
}

// requests keeps what a server's observer is told.
type requests struct {
	mu      sync.Mutex
	started int
	ended   []transport.Request
}

func (o *requests) StartRequest(ctx context.Context, _ *transport.Request) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.started++
	return ctx
}

func (o *requests) EndRequest(_ context.Context, q *transport.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, *q)
}

func (o *requests) panics() (all []any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range o.ended {
		all = append(all, q.Panic)
	}
	return all
}

func TestServerBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			var v map[string]any
			if err := transport.DecodeJSON(w, r, &v); err == nil {
				w.WriteHeader(204)
			}
		}, transport.WithSettings(transport.ServerSettings{BodyBytes: 1000, HeaderBytes: 8 << 10}))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		large := `{"a":"` + strings.Repeat("x", 2000) + `"}`
		for name, tc := range map[string]struct {
			body   io.Reader
			header map[string]string
			status int
		}{
			"fits":            {strings.NewReader(`{"a":1}`), nil, 204},
			"too large":       {strings.NewReader(large), nil, 413},
			"large, unsized":  {io.MultiReader(strings.NewReader(large)), nil, 413},
			"header":          {strings.NewReader(`{}`), map[string]string{"X-Long": strings.Repeat("y", 10<<10)}, 431},
			"expired":         {strings.NewReader(`{}`), map[string]string{transport.HeaderTimeout: "0"}, 504},
			"odd deadline":    {strings.NewReader(`{}`), map[string]string{transport.HeaderTimeout: "abc"}, 204},
			"odd criticality": {strings.NewReader(`{}`), map[string]string{transport.HeaderCriticality: "most"}, 204},
		} {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a:1/", tc.body)
			for k, v := range tc.header {
				req.Header.Set(k, v)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tc.status {
				t.Errorf("%s: got %d, want %d", name, resp.StatusCode, tc.status)
			}
		}
		time.Sleep(time.Second) // net/http lingers on connections that it closes early
	})
}

func TestShedding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		obs := &requests{}
		f.listen("a:1", after(time.Second), transport.WithServerObserver(obs),
			transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 2, Max: 2, Queue: 1}}))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		var ok, shed atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				resp, err := c.Get("http://a:1/")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				switch {
				case resp.StatusCode == 200:
					ok.Add(1)
				case resp.StatusCode == 503 && resp.Header.Get(transport.HeaderShed) != "" && resp.Header.Get("Retry-After") != "" &&
					resp.Header.Get("Content-Type") == "application/problem+json":
					shed.Add(1)
				default:
					t.Errorf("got %d %v", resp.StatusCode, resp.Header)
				}
			})
		}
		wg.Wait()
		if ok.Load() < 2 || shed.Load() < 15 {
			t.Errorf("%d served, %d shed; want 2 or 3 and the rest", ok.Load(), shed.Load())
		}
		if f.hit("a:1") != int(ok.Load()) {
			t.Errorf("the handler ran %d times for %d that were served", f.hit("a:1"), ok.Load())
		}
		if obs.started != 20 || len(obs.ended) != 20 {
			t.Errorf("%d requests began and %d ended, want 20 and 20", obs.started, len(obs.ended))
		}
	})
}

// What must not fail because of load is served under any.
func TestExemptRequestsAreNotShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/livez" {
				after(time.Second)(w, r)
			}
		}, transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 1, Min: 1, Max: 1, Queue: 1}}),
			transport.WithExempt(func(r *http.Request) bool { return r.URL.Path == "/livez" }))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if resp, err := c.Get("http://a:1/"); err == nil {
					_ = resp.Body.Close()
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		for range 20 {
			resp, err := c.Get("http://a:1/livez")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("a probe of a busy server: %v %v, want 200", resp, err)
			}
			_ = resp.Body.Close()
		}
		wg.Wait()
	})
}

// A body that its handler ends because time was up must not look complete.
func TestBodyBrokenOffByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				_, _ = w.Write(make([]byte, 1000)) // never flushed
				select {
				case <-time.After(50 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		})
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a:1/", nil)
		req.Header.Set(transport.HeaderTimeout, "1000")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Errorf("%d of 100,000 bytes read as a complete body", len(b))
		}
	})
}

func TestServerThatCannotServe(t *testing.T) {
	for name, make := range map[string]func() (*transport.Server, error){
		"no handler": func() (*transport.Server, error) { return transport.NewServer(nil) },
		"no certificate": func() (*transport.Server, error) {
			return transport.NewServer(answer(200), transport.WithServerTLS(&tls.Config{}))
		},
		"bad limit": func() (*transport.Server, error) {
			return transport.NewServer(answer(200), transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: -1}}))
		},
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// Work whose deadline passes while it waits for its turn is never begun.
func TestExpiredInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", after(time.Second), transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 1, Min: 1, Max: 1, Queue: 10, QueueWait: 5 * time.Second}}))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a:1/", nil)
				req.Header.Set(transport.HeaderTimeout, "500")
				if resp, err := c.Do(req); err == nil {
					_ = resp.Body.Close()
				}
			})
		}
		wg.Wait()
		if n := f.hit("a:1"); n != 1 {
			t.Errorf("%d of 5 requests with 500 ms were begun by a server that can do one a second, want 1", n)
		}
	})
}

// lateContext has a deadline, and a timer that has not run yet.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// A request that gets a place at the very moment of its deadline is not begun,
// whichever timer runs first.
func TestAPlaceAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		srv, err := transport.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			begun++
			time.Sleep(time.Second)
		}), transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 1, Min: 1, Max: 1, Queue: 10, QueueWait: 5 * time.Second}}))
		if err != nil {
			t.Fatal(err)
		}
		ctx := lateContext{t.Context(), time.Now().Add(time.Second)}
		go srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		synctest.Wait()
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
		if w.Code != http.StatusGatewayTimeout || begun != 1 {
			t.Errorf("answered %d, %d requests begun; want 504 and only the first", w.Code, begun)
		}
		if n, _ := srv.Limit(); n != 0 {
			t.Errorf("%d places are taken after the last request", n)
		}
	})
}

// A slow sender must not hold a place that others could use.
func TestSlowSendersHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
			transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 2, Max: 2, Queue: 1}}))
		var conns []net.Conn
		for range 20 {
			conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
		}
		time.Sleep(time.Second)
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		for range 10 {
			resp, err := c.Get("http://a:1/")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("got %v %v while others send slowly, want 200", resp, err)
			}
			_ = resp.Body.Close()
		}
		c.CloseIdleConnections()
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		srv := f.listen("a:1", after(2*time.Second))
		c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
		defer c.CloseIdleConnections()
		done := make(chan error, 1)
		go func() {
			resp, err := c.Get("http://a:1/")
			if err == nil {
				_ = resp.Body.Close()
				if resp.Header.Get("Connection") != "close" && !resp.Close {
					err = errors.New("the response does not ask to close the connection")
				}
			}
			done <- err
		}()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("the request in flight: %v", err)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("shutdown took %v for a request of 1 s", d)
		}
		if _, err := c.Get("http://a:1/"); err == nil {
			t.Error("served after the shutdown")
		}
	})
}

// lateListener hands out a last connection when it has been closed already, as
// a listener does whose Accept returns in that moment.
type lateListener struct {
	net.Listener
	closed chan struct{}
	once   sync.Once
	last   chan net.Conn
}

func (l *lateListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	select {
	case c := <-l.last:
		time.Sleep(10 * time.Millisecond) // on the way from the system to net/http
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

func TestShutdownServesWhatWasJustAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		under, err := f.net.Listen("a:1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = under.Close() }()
		served := make(chan struct{})
		srv, err := transport.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(served) }))
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		l := &lateListener{Listener: under, closed: make(chan struct{}), last: make(chan net.Conn, 1)}
		l.last <- server
		go func() { _ = srv.Serve(l) }()
		go func() {
			fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			_, _ = io.Copy(io.Discard, client)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		select {
		case <-served:
		default:
			t.Error("Shutdown is over, but a request that had been accepted is not served")
		}
		_ = client.Close()
	})
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		ended := make(chan struct{})
		srv := f.listen("a:1", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(ended)
		})
		conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests cut off") {
			t.Errorf("got %v, want what was cut off", err)
		}
		<-ended
		_ = conn.Close()
	})
}

// Connections that say nothing must not hold up a shutdown: net/http alone waits
// 5 s for them.
func TestShutdownWithSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		srv := f.listen("a:1", answer(200))
		for i := range 100 {
			conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if i%2 == 0 { // half of them idle after a request
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("got %v %v", resp, err)
				}
				_ = resp.Body.Close()
			}
		}
		start := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v, want what a silent connection has, 500 ms, and little more", d)
		}
	})
}

func TestStreams(t *testing.T) {
	for _, proto := range []string{"http1", "http2"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p http.Protocols
				p.SetHTTP1(proto == "http1")
				p.SetUnencryptedHTTP2(proto == "http2")
				f := newFleet(t)
				events := func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for i := 0; ; i++ {
						fmt.Fprintf(w, "data: %d\n\n", i)
						if err := http.NewResponseController(w).Flush(); err != nil {
							return
						}
						select {
						case <-time.After(10 * time.Second):
						case <-transport.Draining(r.Context()):
							fmt.Fprint(w, "event: end\n\n")
							return
						case <-r.Context().Done():
							return
						}
					}
				}
				srv := f.listen("a:1", transport.Stream(http.HandlerFunc(events), 0).ServeHTTP, transport.WithServerProtocols(&p))
				tr := &http.Transport{DialContext: f.net.Dial, Protocols: &p}
				resp, err := (&http.Client{Transport: tr}).Get("http://a:1/")
				if err != nil {
					t.Fatal(err)
				}
				down := make(chan struct{})
				time.AfterFunc(95*time.Second, func() { // three times the write timeout
					defer close(down)
					if n := srv.InFlight(); n != 1 {
						t.Errorf("%d in flight while a stream runs, want 1", n)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if err := srv.Shutdown(ctx); err != nil {
						t.Error(err)
					}
				})
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || !strings.HasSuffix(string(b), "data: 9\n\nevent: end\n\n") {
					t.Errorf("the stream ended with %v after %q", err, b)
				}
				tr.CloseIdleConnections()
				<-down
			})
		})
	}
}

// Both client and server over HTTP/2 without TLS, by prior knowledge.
func TestHTTP2EndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		f := newFleet(t)
		f.start("cart", "a:1", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", r.Proto, b)
		}, transport.WithServerProtocols(&p))
		c := f.client(transport.WithProtocols(&p))
		for range 5 {
			status, body, err := do(t.Context(), c, "POST", "http://cart/", "hello", nil)
			if status != 200 || body != "HTTP/2.0 hello" {
				t.Fatalf("got %d %q %v", status, body, err)
			}
			synctest.Wait() // net/http shares a new connection a moment after its first request
		}
		if n := f.net.Dials("a:1"); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

func TestLoadReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", after(20*time.Millisecond))
		var header http.Header
		c := f.client()
		for range 2 {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://cart/", nil)
			resp, err := c.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			header = resp.Header
		}
		got := header.Get("Endpoint-Load-Metrics")
		if !strings.HasPrefix(got, "TEXT named_metrics.rif=1, named_metrics.latency_ms=20.000, cpu_utilization=") {
			t.Errorf("got %q", got)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DialContext: f.net.Dial, DisableKeepAlives: true}}).Get("http://a:1/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.Header["Endpoint-Load-Metrics"] != nil {
			t.Error("a caller that is no gabion client got a load report")
		}
	})
}

func TestCriticalityTravelsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var mu sync.Mutex
		var seen []string
		f.start("leaf", "l:1", func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen = append(seen, r.Header.Get(transport.HeaderCriticality))
			mu.Unlock()
		})
		next := f.client()
		f.start("mid", "m:1", func(_ http.ResponseWriter, r *http.Request) {
			_, _, _ = get(r.Context(), next, "http://leaf/")
		})
		c := f.client()
		_, _, _ = do(t.Context(), c, "GET", "http://mid/", "", map[string]string{transport.HeaderCriticality: "sheddable"})
		_, _, _ = get(transport.WithCriticality(t.Context(), limit.CriticalPlus), c, "http://mid/")
		if fmt.Sprint(seen) != "[sheddable critical_plus]" {
			t.Errorf("the leaf saw %v", seen)
		}
	})
}
