package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// tcp serves every connection to a free port with h, which owns it.
func tcp(t *testing.T, h func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go accept(l, h)
	return l.Addr().String()
}

// accept serves every connection to l with h, until l is closed.
func accept(l net.Listener, h func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			h(c)
		}()
	}
}

// patient leaves it to what happens, and not to how busy the machine is, when
// a call over sockets ends.
var patient = transport.WithPolicy(transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute})

// over returns a patient client that knows service "raw" at the addresses.
func over(t *testing.T, opts []transport.ClientOption, addrs ...string) *transport.Client {
	t.Helper()
	leaktest.Check(t)
	var list []discovery.Instance
	for _, a := range addrs {
		list = append(list, discovery.Instance{ID: a, Service: "raw", Addr: a})
	}
	b, err := static.New(map[string][]discovery.Instance{"raw": list})
	if err != nil {
		t.Fatal(err)
	}
	c, err := transport.NewClient(b, append([]transport.ClientOption{patient}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		c.CloseIdleConnections()
		_ = b.Close()
	})
	return c
}

// A POST that a server can have begun to work on reaches no second one, at
// whatever point its connection breaks; an idempotent request does.
func TestAtMostOnce(t *testing.T) {
	const response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	readAll := func(c net.Conn) *http.Request {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return nil
		}
		_, _ = io.Copy(io.Discard, r.Body)
		return r
	}
	for name, fail := range map[string]func(c net.Conn){
		"after the header": func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReaderSize(c, 16)) },
		"in the body":      func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 1000)) },
		"reply lost":       func(c net.Conn) { readAll(c) },
		"reply cut in its header": func(c net.Conn) {
			readAll(c)
			_, _ = io.WriteString(c, response[:20])
		},
		"reply reset": func(c net.Conn) {
			readAll(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		},
		"garbage": func(c net.Conn) {
			readAll(c)
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		},
	} {
		for _, method := range []string{"POST", "PATCH", "PUT"} {
			for kind, body := range map[string]func() io.Reader{
				"replayable": func() io.Reader { return bytes.NewReader(make([]byte, 100_000)) },
				"small":      func() io.Reader { return &sized{bytes.NewReader(make([]byte, 100_000))} },
				"unsized":    func() io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, 100_000))) },
			} {
				t.Run(name+"/"+method+"/"+kind, func(t *testing.T) {
					var conns atomic.Int32
					h := func(c net.Conn) {
						conns.Add(1)
						fail(c)
					}
					c := over(t, nil, tcp(t, h), tcp(t, h), tcp(t, h))
					req, err := http.NewRequestWithContext(t.Context(), method, "http://raw/", body())
					if err != nil {
						t.Fatal(err)
					}
					resp, err := c.HTTPClient().Do(req)
					if err == nil {
						_ = resp.Body.Close()
						t.Fatalf("got %d", resp.StatusCode)
					}
					want := int32(1)
					if method == "PUT" && kind == "replayable" {
						want = 3
					}
					if n := conns.Load(); n != want {
						t.Errorf("tried %d times, want %d: %v", n, want, err)
					}
					if e, ok := errors.AsType[*transport.Error](err); !ok || !e.Sent {
						t.Errorf("got %v, want an Error that says the request was sent", err)
					}
					idle(t, c)
				})
			}
		}
	}
}

// A connection that dies while idle costs no call, and no POST is done twice.
func TestDeadIdleConnections(t *testing.T) {
	var served atomic.Int32
	addr := tcp(t, func(c net.Conn) { // one request a connection, but says nothing of it
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		served.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	c := over(t, nil, addr)
	ok := int32(0)
	for range 50 {
		status, _, err := do(t.Context(), c, "POST", "http://raw/", "x", nil)
		if err == nil && status == 200 {
			ok++
		}
	}
	if served.Load() != ok {
		t.Errorf("%d calls worked and %d were served", ok, served.Load())
	}
}

// The answer to Expect: 100-continue decides whether the body is sent, and a
// body that was not read goes whole to the next instance.
func TestExpectContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		refuse := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(transport.HeaderShed, "1")
			w.WriteHeader(503)
		}
		echo := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
		f.start("cart", "a:1", refuse)
		f.start("cart", "b:1", echo)
		c := f.client()
		closed := 0
		for range 20 {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://cart/", &counted{Reader: strings.NewReader("0123456789"), n: &closed})
			req.Header.Set("Expect", "100-continue")
			resp, err := c.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 || string(b) != "0123456789" {
				t.Fatalf("got %d %q, want what was sent", resp.StatusCode, b)
			}
		}
		f.kill("b:1")
		for range 3 { // answered without being read: closed all the same
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://cart/", &counted{Reader: strings.NewReader("0123456789"), n: &closed})
			req.Header.Set("Expect", "100-continue")
			if resp, err := c.HTTPClient().Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		if closed != 23 {
			t.Errorf("%d of 23 request bodies were closed", closed)
		}
		idle(t, c)
		time.Sleep(5 * time.Second) // net/http lingers on connections that it closes early
	})
}

type counted struct {
	io.Reader
	n    *int
	once bool
}

func (c *counted) Close() error {
	if !c.once {
		c.once = true
		*c.n++
	}
	return nil
}

// frame writes an HTTP/2 frame.
func frame(w io.Writer, kind, flags byte, stream uint32, payload []byte) {
	h := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(h[5:], stream)
	_, _ = w.Write(append(h, payload...))
}

// streams speaks just enough HTTP/2 to hand each request's stream to answer.
func streams(c net.Conn, answer func(stream uint32)) {
	r := bufio.NewReader(c)
	if _, err := io.ReadFull(r, make([]byte, 24)); err != nil {
		return
	}
	frame(c, 4, 0, 0, nil) // SETTINGS
	for {
		var h [9]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return
		}
		payload := make([]byte, int(h[0])<<16|int(h[1])<<8|int(h[2]))
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		switch {
		case h[3] == 4 && h[4] == 0:
			frame(c, 4, 1, 0, nil) // acknowledged
		case h[3] == 1:
			answer(binary.BigEndian.Uint32(h[5:]))
		}
	}
}

func code(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// Over HTTP/2 a POST is done again only if the server says that it was not
// begun.
func TestHTTP2Refusals(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(c net.Conn, stream uint32)
		again  bool
	}{
		"REFUSED_STREAM": {func(c net.Conn, s uint32) { frame(c, 3, 0, s, code(7)) }, true},
		"INTERNAL_ERROR": {func(c net.Conn, s uint32) { frame(c, 3, 0, s, code(2)) }, false},
		"CANCEL":         {func(c net.Conn, s uint32) { frame(c, 3, 0, s, code(8)) }, false},
		"GOAWAY, not begun": {func(c net.Conn, _ uint32) {
			frame(c, 7, 0, 0, append(code(0), code(0)...))
			time.AfterFunc(time.Second, func() { _ = c.Close() }) // net/http leaves that to the server
		}, true},
		"GOAWAY, perhaps":   {func(c net.Conn, s uint32) { frame(c, 7, 0, 0, append(code(s), code(0)...)); _ = c.Close() }, false},
		"connection broken": {func(c net.Conn, _ uint32) { _ = c.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p http.Protocols
			p.SetUnencryptedHTTP2(true)
			var seen atomic.Int32
			addr := tcp(t, func(c net.Conn) {
				streams(c, func(stream uint32) {
					if seen.Add(1) > 1 { // net/http goes on for as long as it is told to
						frame(c, 3, 0, stream, code(2))
						return
					}
					tc.answer(c, stream)
				})
			})
			c := over(t, []transport.ClientOption{transport.WithProtocols(&p)}, addr)
			_, _, err := do(t.Context(), c, "POST", "http://raw/", "", nil)
			if err == nil {
				t.Fatal("no error")
			}
			want := int32(1)
			if tc.again {
				want = 2
			}
			if n := seen.Load(); n != want {
				t.Errorf("delivered %d times, want %d: %v", n, want, err)
			}
			idle(t, c)
		})
	}
}

// A server whose HTTP/2 connection takes nothing for a while and then
// everything must not be sent a POST that has gone elsewhere meanwhile. This
// runs in real time: net/http pings while another goroutine writes, and one
// that waits for a lock stops the clock of a bubble.
func TestHTTP2StalledWrite(t *testing.T) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	f := newFleet(t)
	for _, a := range []string{"a:1", "b:1"} {
		f.start("cart", a, answer(200), transport.WithServerProtocols(&p))
	}
	var stall atomic.Pointer[chan struct{}]
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := f.net.Dial(ctx, network, addr)
		return &stalledWriter{Conn: c, stall: &stall}, err
	}
	for _, a := range []string{"a:1", "b:1"} {
		f.register("patient", a) // the same servers, for calls that must not fail
	}
	c := f.client(transport.WithDialer(dial), transport.WithProtocols(&p), patient,
		transport.WithServicePolicy("cart", transport.Policy{AttemptTimeout: 100 * time.Millisecond, Timeout: time.Second}))
	posts := func() {
		t.Helper()
		for range 10 {
			if _, _, err := do(t.Context(), c, "POST", "http://patient/", "", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	posts()
	before := f.total()
	held := make(chan struct{})
	stall.Store(&held)
	_, _, err := do(t.Context(), c, "POST", "http://cart/", "", nil)
	if err == nil {
		t.Error("a call over connections that take nothing was answered")
	}
	stall.Store(nil)
	close(held)
	posts() // on the same connections, so behind what was held
	if n := f.total() - before - 10; n > 1 {
		t.Errorf("delivered %d times: %v", n, err)
	}
}

// stalledWriter holds back what is written while there is a stall.
type stalledWriter struct {
	net.Conn
	stall *atomic.Pointer[chan struct{}]
}

func (c *stalledWriter) Write(p []byte) (int, error) {
	if held := c.stall.Load(); held != nil {
		<-*held
	}
	return c.Conn.Write(p)
}

// An HTTP/2 connection that swallows everything is noticed by its pings and
// replaced.
func TestDeadHTTP2Connection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		f := newFleet(t)
		f.start("cart", "a:1", answer(200), transport.WithServerProtocols(&p))
		var dead atomic.Bool
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dead.Load() {
				dead.Store(false) // new connections work
			}
			c, err := f.net.Dial(ctx, network, addr)
			return &hole{Conn: c, dead: &dead}, err
		}
		c := f.client(transport.WithDialer(dial), transport.WithProtocols(&p))
		if _, _, err := get(t.Context(), c, "http://cart/"); err != nil {
			t.Fatal(err)
		}
		dead.Store(true)
		start := time.Now()
		if _, _, err := get(t.Context(), c, "http://cart/"); err == nil {
			t.Log("the first call after the break worked")
		} else if d := time.Since(start); d > 5*time.Second {
			t.Errorf("the first failure took %v", d)
		}
		for {
			if _, _, err := get(t.Context(), c, "http://cart/"); err == nil {
				break
			}
			if time.Since(start) > 30*time.Second {
				t.Fatal("no new connection within 30 s")
			}
		}
	})
}

// hole drops what is written while dead.
type hole struct {
	net.Conn
	dead *atomic.Bool
	gone atomic.Bool
}

func (c *hole) Write(p []byte) (int, error) {
	if c.dead.Load() {
		c.gone.Store(true)
	}
	if c.gone.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// As many connections are opened as there are calls at once, and abandoned
// answers give theirs back.
func TestConnectionsAreReused(t *testing.T) {
	for name, tc := range map[string]struct{ status, workers int }{
		"answered": {200, 32},
		"retried":  {503, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("cart", "a:1", func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(10 * time.Millisecond) // so that workers meet
					w.WriteHeader(tc.status)
					_, _ = w.Write(make([]byte, 60<<10))
				}, transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 64}}))
				c := f.client()
				var wg sync.WaitGroup
				for range tc.workers {
					wg.Go(func() {
						for range 10 {
							if status, _, err := get(t.Context(), c, "http://cart/"); tc.status == 200 && (err != nil || status != 200) {
								t.Errorf("got %d, %v", status, err)
							}
						}
					})
				}
				wg.Wait()
				if n := f.net.Dials("a:1"); n != tc.workers {
					t.Errorf("%d workers opened %d connections", tc.workers, n)
				}
			})
		})
	}
}

// What a response may be passes through unchanged.
func TestResponsesPassThrough(t *testing.T) {
	for name, tc := range map[string]struct {
		method, raw string
		status      int
		body        string
		trailer     string
	}{
		"1xx first":   {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", ""},
		"HEAD":        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, "", ""},
		"204":         {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", ""},
		"304":         {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304, "", ""},
		"empty":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", ""},
		"trailer":     {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", 200, "ok", "7"},
		"compressed":  {"GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8bz", 200, "\x1f\x8bz", ""},
		"until close": {"GET", "HTTP/1.0 200 OK\r\n\r\nok", 200, "ok", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := over(t, nil, tcp(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, tc.raw)
				}
			}))
			req, _ := http.NewRequestWithContext(t.Context(), tc.method, "http://raw/", nil)
			resp, err := c.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != tc.status || string(b) != tc.body || resp.Trailer.Get("X-Sum") != tc.trailer {
				t.Errorf("got %d %q %v %v", resp.StatusCode, b, resp.Trailer, err)
			}
			idle(t, c)
		})
	}
}

// A header without end, and a body that breaks off, are errors.
func TestBrokenResponses(t *testing.T) {
	for name, write := range map[string]func(io.Writer){
		"endless header": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := fmt.Fprintf(w, "X: %s\r\n", strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		},
		"short body": func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort") },
		"short chunk": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort")
		},
		"without end": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
		},
		"endless 1xx": func(w io.Writer) {
			for {
				if _, err := io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := over(t, nil, tcp(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					write(c)
				}
			}))
			if status, body, err := get(t.Context(), c, "http://raw/"); err == nil {
				t.Errorf("got %d %.20q", status, body)
			}
			idle(t, c)
		})
	}
}
