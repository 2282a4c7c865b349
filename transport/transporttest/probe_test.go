package transporttest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// hop is how long data takes from host to host in tests that measure time.
const hop = 10 * time.Millisecond

// exact gives a network constant latencies.
var exact = transporttest.WithLatency(dist.Constant(hop))

// A protocol is a version of HTTP that a test runs with.
type protocol struct {
	name string
	http2,
	gabion bool // the server is gabion's in place of net/http's
}

var protocols = []protocol{{name: "HTTP1"}, {name: "HTTP2", http2: true}}

func (p protocol) serve(n *transporttest.Network, name string, replicas int, newHandler func(*transporttest.Process) http.Handler) *transporttest.Service {
	return n.Serve(name, replicas, newHandler, transporttest.WithHTTP2(p.http2), transporttest.WithPlainServer(!p.gabion))
}

// client returns a client of net/http alone that speaks p.
func (p protocol) client(t *testing.T, from *transporttest.Process) *http.Client {
	t.Helper()
	if !p.http2 {
		return from.PlainClient()
	}
	tr := &http.Transport{DialContext: from.Dial, Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// answer is what became of one call.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
	took   time.Duration // rounded to a millisecond
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("error %q after %v", a.err, a.took)
	}
	return fmt.Sprintf("%d %.40q after %v", a.status, a.body, a.took)
}

// call makes a GET that lasts at most limit.
func call(c *http.Client, url string, limit time.Duration) answer {
	return do(c, http.MethodGet, url, "", limit)
}

func do(c *http.Client, method, url, body string, limit time.Duration) (a answer) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	defer func() { a.took = time.Since(start).Round(time.Millisecond) }()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, body: string(b), header: resp.Header, err: err}
}

// good fails the test unless a is a 200 that took that long.
func (a answer) good(t *testing.T, what string, took time.Duration) {
	t.Helper()
	if a.err != nil || a.status != http.StatusOK || a.took != took {
		t.Errorf("%s: got %v, want a 200 after %v", what, a, took)
	}
}

// until waits for a moment, counted from start.
func until(start time.Time, d time.Duration) { time.Sleep(time.Until(start.Add(d))) }

// connect dials addr, or fails the test.
func connect(t *testing.T, from *transporttest.Process, addr string) net.Conn {
	t.Helper()
	c, err := from.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pipe returns both ends of a connection between two hosts.
func pipe(t *testing.T, n *transporttest.Network) (client, server net.Conn) {
	t.Helper()
	l, err := n.Host("server").Process().Listen("0")
	if err != nil {
		t.Fatal(err)
	}
	client = connect(t, n.Host("client").Process(), l.Addr().String())
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = client.Close(), server.Close(), l.Close() })
	return client, server
}

// fatal returns what f says that fails the test of the network it is given.
func fatal(t *testing.T, f func(*transporttest.Network)) string {
	t.Helper()
	r := &failure{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(transporttest.New(r))
	}()
	<-done
	return r.text
}

// failure is a test that keeps to itself why it fails.
type failure struct {
	testing.TB
	text string
}

func (f *failure) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
