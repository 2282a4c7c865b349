package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/retry"
)

// fickle answers each request for /warm, once as many have come as warm says.
// What comes after them on their connections, and on new ones, it reads and
// hangs up.
type fickle struct {
	warm sync.WaitGroup
	seen atomic.Int32 // requests it hung up on
	used atomic.Bool  // a connection of HTTP/2, which carries all
}

func (f *fickle) http1(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		if req.URL.Path != "/warm" {
			f.seen.Add(1)
			return
		}
		f.warm.Done()
		f.warm.Wait()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

func (f *fickle) http2(c net.Conn) {
	streams(c, func(stream uint32) {
		if !f.used.Swap(true) {
			f.warm.Done()
			frame(c, 1, 5, stream, []byte{0x88}) // HEADERS, the last of them: status 200
			return
		}
		f.seen.Add(1)
		_ = c.Close()
	})
}

// On connections that die as they are used again, a request is delivered as
// often as the policy says and no more: net/http, which would send it again for
// as long as there are such connections, is not asked.
func TestReplaysAreThePolicys(t *testing.T) {
	keyed := func(name, key string) http.Header { return http.Header{name: {key}} }
	for name, tc := range map[string]struct {
		method   string
		header   http.Header
		attempts int
		want     int32
	}{
		"GET, once":                 {"GET", nil, 1, 1},
		"GET":                       {"GET", nil, 3, 3},
		"HEAD, once":                {"HEAD", nil, 1, 1},
		"OPTIONS, once":             {"OPTIONS", nil, 1, 1},
		"OPTIONS":                   {"OPTIONS", nil, 3, 3},
		"TRACE, once":               {"TRACE", nil, 1, 1},
		"POST":                      {"POST", nil, 3, 1},
		"POST with a key, once":     {"POST", keyed("Idempotency-Key", "k"), 1, 1},
		"POST with a key":           {"POST", keyed("Idempotency-Key", "k"), 3, 3},
		"POST with an empty key":    {"POST", keyed("Idempotency-Key", ""), 3, 1},
		"POST with another's key":   {"POST", keyed("X-Idempotency-Key", "k"), 3, 1},
		"PUT, once":                 {"PUT", nil, 1, 1},
		"PUT":                       {"PUT", nil, 3, 3},
		"DELETE with a key, once":   {"DELETE", keyed("Idempotency-Key", "k"), 1, 1},
		"DELETE with a key, thrice": {"DELETE", keyed("Idempotency-Key", "k"), 3, 3},
	} {
		for kind, body := range map[string]func() io.Reader{
			"no body":    func() io.Reader { return nil },
			"replayable": func() io.Reader { return bytes.NewReader(make([]byte, 1000)) },
			"kept":       func() io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, 1000))) },
		} {
			either := func(p *http.Protocols) { // of which net/http takes HTTP/1
				p.SetHTTP1(true)
				p.SetUnencryptedHTTP2(true)
			}
			for version, speak := range map[string]func(*http.Protocols){
				"http1": speaks["http1"], "http2": speaks["http2"], "either": either,
			} {
				t.Run(name+"/"+kind+"/"+version, func(t *testing.T) {
					f := &fickle{}
					serve, idle := f.http1, 8
					if version == "http2" {
						serve, idle = f.http2, 1 // one connection carries all
					}
					f.warm.Add(idle)
					var p http.Protocols
					speak(&p)
					c := over(t, []transport.ClientOption{transport.WithProtocols(&p), transport.WithPolicy(transport.Policy{
						Timeout: time.Minute, AttemptTimeout: time.Minute, Retry: retry.Policy{Attempts: tc.attempts},
					})}, tcp(t, serve))
					var wg sync.WaitGroup
					for range idle {
						wg.Go(func() {
							if _, _, err := get(t.Context(), c, "http://raw/warm"); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://raw/", body())
					if err != nil {
						t.Fatal(err)
					}
					if kind == "kept" {
						req.ContentLength = 1000
					}
					for k, v := range tc.header {
						req.Header[k] = v
					}
					resp, err := c.HTTPClient().Do(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					if n := f.seen.Load(); n != tc.want {
						t.Errorf("delivered %d times, want %d: %v", n, tc.want, err)
					}
				})
			}
		}
	}
}

// Every attempt sends the body whole, byte by byte the same, whatever became of
// the ones before.
func TestEveryAttemptSendsTheWholeBody(t *testing.T) {
	whole := make([]byte, 60_000)
	for i := range whole {
		whole[i] = byte(rand.IntN(256))
	}
	for name, fail := range map[string]func(w http.ResponseWriter){
		"answers 503": func(w http.ResponseWriter) {
			w.WriteHeader(503)
			_, _ = w.Write(make([]byte, 100_000)) // more than is read of it
		},
		"breaks off": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		for kind, body := range map[string]func() io.Reader{
			"replayable": func() io.Reader { return bytes.NewReader(whole) },
			"kept":       func() io.Reader { return io.MultiReader(bytes.NewReader(whole)) },
		} {
			for version, speak := range speaks {
				t.Run(name+"/"+kind+"/"+version, func(t *testing.T) {
					leaktest.Check(t)
					var p http.Protocols
					speak(&p)
					var served atomic.Int32
					all := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						got, err := io.ReadAll(r.Body)
						if err != nil || !bytes.Equal(got, whole) {
							t.Errorf("attempt %s: %d bytes that differ, %v", r.Header.Get(transport.HeaderAttempt), len(got), err)
						}
						if served.Add(1) < 3 {
							fail(w)
						}
					}), &p, "a", "b", "c")
					c := over(t, []transport.ClientOption{transport.WithProtocols(&p)}, all["a"].Addr, all["b"].Addr, all["c"].Addr)
					req, err := http.NewRequestWithContext(t.Context(), "POST", "http://raw/", body())
					if err != nil {
						t.Fatal(err)
					}
					req.ContentLength = int64(len(whole))
					req.Header.Set(transport.HeaderIdempotencyKey, "k")
					resp, err := c.HTTPClient().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					if n := served.Load(); resp.StatusCode != 200 || n != 3 {
						t.Errorf("got %d after %d attempts, want 200 after 3", resp.StatusCode, n)
					}
					idle(t, c)
				})
			}
		}
	}
}

// What never arrived may be sent elsewhere, whatever the method: it is done
// once.
func TestPOSTThatDidNotConnect(t *testing.T) {
	refused := errors.New("connection refused")
	for name, dial := range map[string]func(ctx context.Context) error{
		"refused": func(context.Context) error { return &net.OpError{Op: "dial", Net: "tcp", Err: refused} },
		"silent": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		for version, speak := range speaks {
			t.Run(name+"/"+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var p http.Protocols
					speak(&p)
					var n memnet.Network
					var served, dials atomic.Int32
					all := hostsIn(t, &n, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						served.Add(1)
						if got, err := io.ReadAll(r.Body); string(got) != "once" {
							t.Errorf("got %q %v", got, err)
						}
					}), &p, "a", "b", "c")
					dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
						if dials.Add(1) < 3 {
							return nil, dial(ctx)
						}
						return n.Dial(ctx, network, addr)
					}
					c := over(t, []transport.ClientOption{
						transport.WithProtocols(&p), transport.WithDialer(dialer),
						transport.WithPolicy(transport.Policy{Timeout: time.Minute, AttemptTimeout: 200 * time.Millisecond}),
					}, all["a"].Addr, all["b"].Addr, all["c"].Addr)
					status, _, err := do(t.Context(), c, "POST", "http://raw/", "once", nil)
					if n := served.Load(); status != 200 || n != 1 {
						t.Errorf("got %d %v, served %d times, want once", status, err, n)
					}
					idle(t, c)
				})
			})
		}
	}
}
