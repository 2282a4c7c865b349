package transport_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// Load balancers keep idle connections for 60 s (ALB) and reuse them: the
// server must keep them longer, also where only the read timeout is set, and
// close them in the end.
func TestIdleConnectionsOutliveTheLoadBalancers(t *testing.T) {
	for name, settings := range map[string]transport.ServerSettings{
		"defaults":    {},
		"short reads": {ReadTimeout: time.Second, ReadHeaderTimeout: time.Second},
	} {
		for proto, protocols := range bothProtocols() {
			t.Run(name+"/"+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					f.listen("a:1", answer(200), transport.WithSettings(settings), transport.WithServerProtocols(protocols))
					c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial, Protocols: protocols}}
					defer c.CloseIdleConnections()
					for _, call := range []struct {
						idle  time.Duration
						dials int
					}{{0, 1}, {65 * time.Second, 1}, {119 * time.Second, 1}, {121 * time.Second, 2}} {
						time.Sleep(call.idle)
						resp, err := c.Get("http://a:1/")
						if err != nil {
							t.Fatalf("after %v: %v", call.idle, err)
						}
						readWhole(t, resp)
						if n := f.net.Dials("a:1"); n != call.dials {
							t.Errorf("after %v: %d connections so far, want %d", call.idle, n, call.dials)
						}
					}
				})
			})
		}
	}
}

// readWhole reads a response to its end, so that its connection can be used again.
func readWhole(t *testing.T, resp *http.Response) {
	t.Helper()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
}

// frameLog remembers what was read from a connection.
type frameLog struct {
	net.Conn
	mu   sync.Mutex
	read bytes.Buffer
}

func (l *frameLog) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read.Write(p[:n])
	return n, err
}

// types returns the types of the HTTP/2 frames that were read whole.
func (l *frameLog) types() (all []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for b := l.read.Bytes(); len(b) >= 9; {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		if len(b) < 9+length {
			break
		}
		all = append(all, b[3])
		b = b[9+length:]
	}
	return all
}

// A draining server tells a connection of HTTP/2 to go away: the next request
// takes another one, and a stream under way ends whole.
func TestDrainSendsGoAway(t *testing.T) {
	const goAway = 7
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		two := bothProtocols()["HTTP/2"]
		rest := make(chan struct{})
		srv := f.listen("a:1", slowly(rest), transport.WithServerProtocols(two))
		var logs []*frameLog
		c := &http.Client{Transport: &http.Transport{Protocols: two, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := f.net.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			logs = append(logs, &frameLog{Conn: conn})
			return logs[len(logs)-1], nil
		}}}
		defer c.CloseIdleConnections()
		ask := func(path string) *http.Response {
			resp, err := c.Get("http://a:1" + path)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		slow := ask("/slow")
		readWhole(t, ask("/"))
		synctest.Wait()
		if slices.Contains(logs[0].types(), goAway) {
			t.Error("told to go away before the drain")
		}
		srv.Drain()
		readWhole(t, ask("/"))
		synctest.Wait()
		if !slices.Contains(logs[0].types(), goAway) {
			t.Errorf("frames %v, want a GOAWAY", logs[0].types())
		}
		readWhole(t, ask("/"))
		if n := f.net.Dials("a:1"); n != 2 {
			t.Errorf("%d connections, want a second one", n)
		}
		close(rest)
		if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "halfwhole" {
			t.Errorf("the stream under way read %q %v", body, err)
		}
		_ = slow.Body.Close()
	})
}
