package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// middlebox is a proxy before a server whose connections can be made to die as
// behind a firewall that has forgotten them: nobody is told.
type middlebox struct {
	addr    string
	swallow bool // connections that are dead are still read
	conns   atomic.Int32

	end  context.Context // ends with the test
	mu   sync.Mutex
	dead chan struct{} // closed: connections made before are dead
}

// newMiddlebox passes connections on to the server at addr.
func newMiddlebox(t *testing.T, addr string, swallow bool) *middlebox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middlebox{addr: l.Addr().String(), swallow: swallow, dead: make(chan struct{})}
	var end context.CancelFunc
	m.end, end = context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.conns.Add(1)
			m.mu.Lock()
			dead := m.dead
			m.mu.Unlock()
			wg.Go(func() { m.pass(c, addr, dead) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		end()
		wg.Wait()
	})
	return m
}

// kill makes the connections that there are dead. New ones work.
func (m *middlebox) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.dead)
	m.dead = make(chan struct{})
}

// pass carries what c and the server say to each other.
func (m *middlebox) pass(c net.Conn, addr string, dead <-chan struct{}) {
	_ = c.(*net.TCPConn).SetReadBuffer(32 << 10) // so that the system takes in little
	s, err := net.Dial("tcp", addr)
	if err != nil {
		_ = c.Close()
		return
	}
	stop := context.AfterFunc(m.end, func() { _, _ = c.Close(), s.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { m.copy(s, c, dead) })
	wg.Go(func() { m.copy(c, s, dead) })
	wg.Wait()
}

// copy carries what from says to to until one closes its connection. Once they
// are dead nothing arrives.
func (m *middlebox) copy(to, from net.Conn, dead <-chan struct{}) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-dead:
			if !m.swallow {
				<-m.end.Done()
			}
		default:
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// An HTTP/2 connection that has died in silence is found out by a ping that
// nobody answers, and one that takes nothing in by a write that does not end;
// then there is a new one. Each call fails in its own time until then.
func TestHTTP2ConnectionsThatDieInSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		swallow bool
		body    int
	}{
		"everything is dropped":              {true, 0},
		"nothing is taken":                   {false, 0},
		"nothing of a long request is taken": {false, 900 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			var p http.Protocols
			p.SetUnencryptedHTTP2(true)
			srv := &http.Server{Protocols: &p, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = srv.Serve(l) }()
			t.Cleanup(func() { _ = srv.Close() })
			box := newMiddlebox(t, l.Addr().String(), tc.swallow)

			// Here nothing but its own time ends a call.
			c := behind(t, box, time.Hour, time.Second)
			untilAnswered(t, c, tc.body)
			box.kill()
			if err := put(t, c, tc.body); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrAttemptTimeout) {
				t.Errorf("a call over a dead connection: %v, want a timeout", err)
			}

			// And here nothing but the end of the connection.
			c = behind(t, box, 300*time.Millisecond, time.Minute)
			untilAnswered(t, c, tc.body)
			before := box.conns.Load()
			box.kill()
			untilNoTimeout(t, c, tc.body)
			if box.conns.Load() == before {
				t.Error("a call was answered without a new connection")
			}
		})
	}
}

// put makes a call with a body of so many bytes.
func put(t *testing.T, c *Client, body int) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://cart/", bytes.NewReader(make([]byte, body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.HTTPClient().Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// untilAnswered makes calls until one is answered: a busy machine may be too
// late for one, or for a ping.
func untilAnswered(t *testing.T, c *Client, body int) {
	t.Helper()
	for put(t, c, body) != nil {
		time.Sleep(time.Millisecond)
	}
}

// untilNoTimeout is untilAnswered for calls none of which may wait until its time
// is up.
func untilNoTimeout(t *testing.T, c *Client, body int) {
	t.Helper()
	for {
		switch err := put(t, c, body); {
		case err == nil:
			return
		case errors.Is(err, ErrTimeout) || errors.Is(err, ErrAttemptTimeout):
			t.Fatalf("the dead connection is not found out: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// behind returns a client that knows the service cart behind the box, and gives
// HTTP/2 peers as long to be silent, and calls that timeout.
func behind(t *testing.T, box *middlebox, silence, timeout time.Duration) *Client {
	t.Helper()
	registry, err := static.New(map[string][]discovery.Instance{"cart": {{ID: "a", Addr: box.addr}}})
	if err != nil {
		t.Fatal(err)
	}
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			_ = c.(*net.TCPConn).SetWriteBuffer(32 << 10)
		}
		return c, err
	}
	c, err := NewClient(registry, WithProtocols(&p), WithDialer(dial), WithPolicy(Policy{Timeout: timeout, AttemptTimeout: timeout}),
		clientOption(func(c *clientConfig) { c.silence = silence }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		c.CloseIdleConnections()
		_ = registry.Close()
	})
	return c
}
