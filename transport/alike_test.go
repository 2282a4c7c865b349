package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
	"github.com/gabion-go/gabion/transport/cors"
	"github.com/gabion-go/gabion/transport/ratelimit"
	"github.com/gabion-go/gabion/transport/requestid"
	"github.com/gabion-go/gabion/transport/retry"
)

// A stage is a service that is called in process or over a socket. Its handler
// is set by each act; what both sides saw is said in order.
type stage struct {
	t      *testing.T
	way    string // local, http1 or http2
	client *transport.Client
	server *transport.Server
	http   *http.Client
	open   tally

	mu      sync.Mutex
	handler http.HandlerFunc
	said    []string
}

// ways are the ways to call it: plain, and through all that can stand between
// client and handler.
var ways = []string{"local", "http1", "http2", "local layered", "http1 layered", "http2 layered"}

// layered puts h behind middleware that must not be noticed.
func layered(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	h, err := compress.Responses(h, compress.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	h, err = cors.Handler(compress.Requests(h, 0), cors.Settings{Origins: []string{"https://shop.example"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ratelimit.New(ratelimit.Policy{Requests: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	return requestid.Handler(l.Handler(h), requestid.Settings{})
}

// tally is an observer of both sides that counts what begins and ends.
type tally struct{ calls, attempts, requests atomic.Int64 }

func (o *tally) StartCall(ctx context.Context, _ *transport.Call) context.Context {
	o.calls.Add(1)
	return ctx
}
func (o *tally) EndCall(context.Context, *transport.Call) { o.calls.Add(-1) }
func (o *tally) StartAttempt(ctx context.Context, _ *transport.Call, _ *transport.Attempt) context.Context {
	o.attempts.Add(1)
	return ctx
}
func (o *tally) EndAttempt(context.Context, *transport.Call, *transport.Attempt) { o.attempts.Add(-1) }
func (o *tally) StartService(transport.ServiceState) func()                      { return nil }
func (o *tally) StartRequest(ctx context.Context, _ *transport.Request) context.Context {
	o.requests.Add(1)
	return ctx
}
func (o *tally) EndRequest(context.Context, *transport.Request) { o.requests.Add(-1) }

func (o *tally) String() string {
	return fmt.Sprintf("%d calls, %d attempts, %d requests", o.calls.Load(), o.attempts.Load(), o.requests.Load())
}

// newStage serves a stage in one of the ways, behind a transport.Server, on a
// socket. How busy the machine is must make no difference to what happens there.
func newStage(t *testing.T, way string, opts ...transport.ServerOption) *stage {
	t.Helper()
	return newStageOn(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, nil, way, opts)
}

// newTimedStage is newStage in a synctest bubble, for what is a matter of time:
// where others have a socket it has a connection in memory.
func newTimedStage(t *testing.T, way string, opts ...transport.ServerOption) *stage {
	t.Helper()
	var n memnet.Network
	listen := func() (net.Listener, error) { return n.Listen("stage:1") }
	return newStageOn(t, listen, []transport.ClientOption{transport.WithDialer(n.Dial)}, way, opts)
}

func newStageOn(t *testing.T, listen func() (net.Listener, error), clientOpts []transport.ClientOption, way string, opts []transport.ServerOption) *stage {
	t.Helper()
	way, layers := strings.CutSuffix(way, " layered")
	s := &stage{t: t, way: way}
	var p http.Protocols
	p.SetHTTP1(way == "http1")
	p.SetUnencryptedHTTP2(way == "http2")
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h := s.handler
		s.mu.Unlock()
		h(w, r)
	})
	if layers {
		h = layered(t, h)
	}
	srv, err := transport.NewServer(h, append(opts, transport.WithServerProtocols(&p), transport.WithServerObserver(&s.open))...)
	if err != nil {
		t.Fatal(err)
	}
	s.server = srv
	backend, err := static.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute, Retry: retry.Policy{Attempts: 1}}
	if layers {
		policy.Fallback = transport.Fallback{LastGood: time.Minute}
		policy.Routes = map[string]transport.Route{"/": {Coalesce: true}}
	}
	clientOpts = append(clientOpts, transport.WithProtocols(&p), transport.WithObserver(&s.open), transport.WithPolicy(policy))
	if way == "local" {
		clientOpts = append(clientOpts, transport.WithLocal("stage", srv, 1))
	} else {
		l, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = srv.Serve(l) }()
		if err := backend.Set("stage", []discovery.Instance{{ID: "a", Service: "stage", Addr: l.Addr().String()}}); err != nil {
			t.Fatal(err)
		}
	}
	if s.client, err = transport.NewClient(backend, clientOpts...); err != nil {
		t.Fatal(err)
	}
	s.http = s.client.HTTPClient()
	if layers {
		s.http.Transport = requestid.Transport(s.http.Transport)
	}
	t.Cleanup(func() {
		if err := s.client.Close(); err != nil {
			t.Error(err)
		}
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if n := srv.InFlight(); n != 0 {
			t.Errorf("%d in flight after the last request", n)
		}
		if got := s.open.String(); got != "0 calls, 0 attempts, 0 requests" {
			t.Errorf("not ended: %s", got)
		}
		_ = backend.Close()
	})
	return s
}

// say notes what happened.
func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// all returns what has happened, in order.
func (s *stage) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}

// serve sets what the handler does from now on.
func (s *stage) serve(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// request makes one, with a trace of what comes before the response.
func (s *stage) request(ctx context.Context, method string, body io.Reader) *http.Request {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got100Continue: func() { s.say("continue") },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code != http.StatusContinue { // net/http tells of it in this order or that
				s.say("%d %q", code, h["Link"])
			}
			return nil
		},
	})
	req, err := http.NewRequestWithContext(ctx, method, "http://stage/path?q=1", body)
	if err != nil {
		s.t.Fatal(err)
	}
	return req
}

// send says what became of a request, and returns the response if there is one.
func (s *stage) send(req *http.Request) *http.Response {
	resp, err := s.http.Do(req)
	if err != nil {
		s.say("failed: %s", kind(err))
		return nil
	}
	h := maps.Clone(resp.Header)
	for _, name := range []string{"Date", "Connection", "Endpoint-Load-Metrics", "Vary", "X-Request-Id", "Ratelimit", "Ratelimit-Policy"} {
		delete(h, name)
	}
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fields = append(fields, fmt.Sprintf("%s=%s", name, strings.Join(h[name], "|")))
	}
	s.say("%s %d %v", resp.Status, resp.ContentLength, fields)
	return resp
}

// read says what is in a response's body, how it ends, and what follows it.
func (s *stage) read(resp *http.Response) {
	if resp == nil {
		return
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	s.say("%d bytes %.40q %s %q", len(b), b, kind(err), resp.Trailer["X-Sum"])
}

// kind sorts errors: their texts are those of the ways.
func kind(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, transport.ErrTimeout):
		return "timeout"
	case errors.Is(err, transport.ErrAttemptTimeout):
		return "attempt timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	default:
		return "broken"
	}
}

// plain hides what kind of Reader a body is, so that its length is not known.
func plain(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

// asking is a body that knows whether it was asked for.
type asking struct {
	io.Reader
	asked *bool
}

func (a asking) Read(p []byte) (int, error) {
	*a.asked = true
	return a.Reader.Read(p)
}

// acts are what callers and handlers can do to one another.
var acts = map[string]func(*stage){
	"small": func(s *stage) {
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			s.say("%s %s %s %s", r.Method, r.Host, r.RequestURI, r.URL)
			fmt.Fprint(w, "hello")
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"nothing": func(s *stage) {
		s.serve(func(http.ResponseWriter, *http.Request) {})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"large": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("<p>", 1<<16)) })
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"length announced": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "text/x")
			_, err := io.WriteString(w, "hello")
			s.say("%v", err)
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"less than announced": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"HEAD": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			n, err := io.WriteString(w, "hello")
			s.say("%d %v", n, err)
		})
		s.read(s.send(s.request(s.t.Context(), "HEAD", nil)))
	},
	"no content": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := io.WriteString(w, "hello")
			s.say("%v", err)
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"not modified": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"a"`)
			w.WriteHeader(304)
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"header after the header": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			w.WriteHeader(201)
			w.Header().Set("X-A", "2")
			w.WriteHeader(500)
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"impossible status": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) })
		if resp := s.send(s.request(s.t.Context(), "GET", nil)); resp != nil {
			_ = resp.Body.Close()
		}
	},
	"echo": func(s *stage) {
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			s.say("length %d %v", r.ContentLength, err)
			_, _ = w.Write(b)
		})
		s.read(s.send(s.request(s.t.Context(), "POST", strings.NewReader(strings.Repeat("x", 1<<17)))))
		s.read(s.send(s.request(s.t.Context(), "POST", plain("hello"))))
		s.read(s.send(s.request(s.t.Context(), "POST", strings.NewReader("hello"))))
	},
	"body left alone": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
		s.read(s.send(s.request(s.t.Context(), "POST", strings.NewReader(strings.Repeat("x", 1000)))))
	},
	"trailers": func(s *stage) {
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			s.say("%q %q", b, r.Trailer["X-Up"])
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "hello")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Sum", "7")
		})
		req := s.request(s.t.Context(), "POST", plain("hello"))
		req.Trailer = http.Header{"X-Up": {"3"}}
		s.read(s.send(req))
	},
	"trailers by prefix": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "hello")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"informational": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.Header().Set("Link", "</b>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			fmt.Fprint(w, "hello")
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"flush": func(s *stage) {
		next := make(chan struct{})
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				fmt.Fprintf(w, "%d", i)
				if err := http.NewResponseController(w).Flush(); err != nil {
					s.say("%v", err)
				}
				<-next
			}
		})
		resp := s.send(s.request(s.t.Context(), "GET", nil))
		for range 3 { // each part is here before the next is written
			b := make([]byte, 1)
			_, err := io.ReadFull(resp.Body, b)
			s.say("%s %v", b, err)
			next <- struct{}{}
		}
		s.read(resp)
	},
	"both ways at once": func(s *stage) {
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			ctl := http.NewResponseController(w)
			s.say("%v", ctl.EnableFullDuplex())
			_ = ctl.Flush()
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				fmt.Fprintln(w, "echo", lines.Text())
				_ = ctl.Flush()
			}
		})
		up, feed := io.Pipe()
		resp := s.send(s.request(s.t.Context(), "POST", up))
		lines := bufio.NewReader(resp.Body)
		for _, word := range []string{"a", "b"} {
			_, _ = fmt.Fprintln(feed, word)
			line, err := lines.ReadString('\n')
			s.say("%q %v", line, err)
		}
		_ = feed.Close()
		s.read(resp)
	},
	"panic": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			panic("here")
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"panic after the header": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			panic("here")
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"abort in the body": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"abort at once": func(s *stage) {
		s.serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		s.read(s.send(s.request(s.t.Context(), "GET", nil)))
	},
	"caller leaves": func(s *stage) {
		gone := make(chan struct{})
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			s.say("%v", r.Context().Err())
			close(gone)
		})
		resp := s.send(s.request(s.t.Context(), "GET", nil))
		_ = resp.Body.Close()
		<-gone
	},
	"caller cancels": func(s *stage) {
		ctx, cancel := context.WithCancel(s.t.Context())
		gone := make(chan struct{})
		s.serve(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			close(gone)
		})
		s.read(s.send(s.request(ctx, "GET", nil)))
		<-gone
	},
	"context ends with the handler": func(s *stage) {
		ended := make(chan struct{})
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			context.AfterFunc(r.Context(), func() { close(ended) })
			fmt.Fprint(w, "hello")
		})
		resp := s.send(s.request(s.t.Context(), "GET", nil))
		<-ended // with the body unread
		s.read(resp)
	},
}

// timedActs are those whose end is a matter of time: that of the acts, or that
// which net/http gives a client to read the answer before it hangs up on the rest
// of a request.
var timedActs = map[string]func(*stage){
	"body too large": func(s *stage) {
		read := make(chan struct{})
		s.serve(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			tooLarge, ok := errors.AsType[*http.MaxBytesError](err)
			s.say("%d %v %v", n, ok, tooLarge)
			close(read)
		})
		// The rest is left unread, so a connection may break off before the
		// answer is through: that is up to net/http, and to who is faster.
		resp, err := s.http.Do(s.request(s.t.Context(), "POST", plain(strings.Repeat("x", 5<<20))))
		switch {
		case err == nil:
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				s.t.Errorf("got %d", resp.StatusCode)
			}
		case kind(err) != "broken" || s.way == "local":
			s.t.Error(err)
		}
		<-read
	},
	"expect, wanted": func(s *stage) {
		s.serve(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		req := s.request(s.t.Context(), "POST", plain("hello"))
		req.Header.Set("Expect", "100-continue")
		s.read(s.send(req))
	},
	"expect, refused": func(s *stage) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(417) })
		asked := false
		req := s.request(s.t.Context(), "POST", asking{strings.NewReader("hello"), &asked})
		req.Header.Set("Expect", "100-continue")
		s.read(s.send(req))
		s.client.CloseIdleConnections()
		s.say("sent %v", asked)
	},
	"time runs out": func(s *stage) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		defer cancel()
		gone := make(chan struct{})
		s.serve(func(_ http.ResponseWriter, r *http.Request) {
			_, ok := r.Context().Deadline()
			s.say("deadline %v", ok)
			<-r.Context().Done()
			close(gone)
		})
		resp, err := s.http.Do(s.request(ctx, "GET", nil))
		if err == nil { // the server may have answered 504 first
			_ = resp.Body.Close()
		}
		<-gone
	},
	"write deadline": func(s *stage) {
		failed := make(chan struct{})
		start := time.Now()
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			s.say("%v", http.NewResponseController(w).SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break // nobody reads
				}
			}
			close(failed)
			panic(http.ErrAbortHandler)
		})
		resp := s.send(s.request(s.t.Context(), "GET", nil))
		<-failed
		s.say("after %v", time.Since(start))
		_ = resp.Body.Close()
	},
}

// A handler in the same process answers as over a socket, by either version of
// HTTP, through middleware or without: with the same status, header, body, trailers, and the same kind of end.
func TestLocalIsLikeTheWire(t *testing.T) {
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, way string) string {
				leaktest.Check(t)
				s := newStage(t, way)
				act(s)
				return s.all()
			})
		})
	}
	for name, act := range timedActs {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, way string) (said string) {
				synctest.Test(t, func(t *testing.T) {
					s := newTimedStage(t, way)
					act(s)
					said = s.all()
				})
				return said
			})
		})
	}
}

// alike runs an act in all ways, of which it returns what was said.
func alike(t *testing.T, act func(t *testing.T, way string) string) {
	t.Helper()
	said := map[string]string{}
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { said[way] = act(t, way) })
	}
	for _, way := range ways[1:] {
		if said[way] != said["local"] {
			t.Errorf("%s:\n%s\nlocal:\n%s", way, said[way], said["local"])
		}
	}
}
