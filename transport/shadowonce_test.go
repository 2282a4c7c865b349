package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
)

// told is an observer that passes each shadow on.
type told struct {
	watcher
	shadows chan transport.Shadow
}

func (o *told) Shadow(s transport.Shadow) { o.shadows <- s }

// steadily answers every request of a connection.
func steadily(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

func steadily2(c net.Conn) {
	streams(c, func(stream uint32) { frame(c, 1, 5, stream, []byte{0x88}) })
}

// On connections that die as they are used again a shadow is sent once: net/http
// would send it again for as long as there are such connections.
func TestShadowsAreSentOnce(t *testing.T) {
	const warm = 8
	for name, tc := range map[string]struct {
		method, version string
		header          http.Header
	}{
		"GET/http1":             {"GET", "http1", nil},
		"GET/http2":             {"GET", "http2", nil},
		"PUT/http1":             {"PUT", "http1", nil},
		"POST with a key/http1": {"POST", "http1", http.Header{"Idempotency-Key": {"k"}}},
		"POST with a key/http2": {"POST", "http2", http.Header{"Idempotency-Key": {"k"}}},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			f, idle := &fickle{}, warm
			v1, v2 := steadily, f.http1
			if tc.version == "http2" {
				v1, v2, idle = steadily2, f.http2, 1 // one connection carries all
			}
			f.warm.Add(idle)
			c, o := shadowed(t, tc.version, tcp(t, v1), tcp(t, v2))
			var wg sync.WaitGroup
			for range idle {
				wg.Go(func() {
					if _, _, err := get(t.Context(), c, "http://raw/warm"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for range idle {
				if s := <-o.shadows; s.Result != transport.ShadowMatch {
					t.Fatalf("told of %+v", s)
				}
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://raw/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tc.header {
				req.Header[k] = v
			}
			resp, err := c.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if s := <-o.shadows; s.Result != transport.ShadowError {
				t.Errorf("told of %+v", s)
			}
			if n := f.seen.Load(); n != 1 {
				t.Errorf("the shadow was sent %d times, want once", n)
			}
		})
	}
}

// shadowed returns a client whose calls go to v1, and their shadows to v2.
func shadowed(t *testing.T, version, v1, v2 string) (*transport.Client, *told) {
	t.Helper()
	b, err := static.New(map[string][]discovery.Instance{"raw": {
		{ID: "v1", Service: "raw", Addr: v1, Version: "v1"}, {ID: "v2", Service: "raw", Addr: v2, Version: "v2"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var p http.Protocols
	speaks[version](&p)
	policy := shadowing()
	policy.Timeout, policy.AttemptTimeout = time.Minute, time.Minute
	policy.Balance.Shadow.Writes = true
	o := &told{shadows: make(chan transport.Shadow, 64)}
	c, err := transport.NewClient(b, patient, transport.WithProtocols(&p), transport.WithPolicy(policy), transport.WithObserver(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		c.CloseIdleConnections()
		_ = b.Close()
	})
	return c, o
}

// A shadow is given, and told of, what is left of the call's time and no more
// than an attempt's, though the caller has its answer long before.
func TestShadowsTime(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		header  string
		took    time.Duration
	}{
		"little left":      {100 * time.Millisecond, "99", 100 * time.Millisecond},
		"more than enough": {5 * time.Second, "2000", transport.DefaultAttemptTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				header := make(chan string, 1)
				f.versions("pricing", byVersion(answer(200), func(w http.ResponseWriter, r *http.Request) {
					header <- r.Header.Get(transport.HeaderTimeout)
					time.Sleep(tc.took + time.Second)
				}), "v1", "v2")
				o := &told{shadows: make(chan transport.Shadow, 1)}
				p := shadowing()
				p.Timeout = tc.timeout
				c := f.client(transport.WithServicePolicy("pricing", p), transport.WithObserver(o))
				if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
					t.Fatalf("got %d %v", status, err)
				}
				if got := <-header; got != tc.header {
					t.Errorf("the shadow's server is told %s ms, want %s", got, tc.header)
				}
				if s := <-o.shadows; s.Duration != tc.took || s.CallStatus != 200 {
					t.Errorf("told of %+v, want one that ended after %v", s, tc.took)
				}
				time.Sleep(2 * time.Second) // the handler ends
				synctest.Wait()
			})
		})
	}
}
