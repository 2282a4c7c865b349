package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// Whoever sends a body slowly, in whatever framing, holds no place that others
// could use, and needs one again when the body has come.
func TestSlowSendersOfAnyFraming(t *testing.T) {
	for name, tc := range map[string]struct{ header, trickle, end string }{
		"small":   {"Content-Length: 100", "x", strings.Repeat("x", 40)},
		"large":   {"Content-Length: 100000", "x", strings.Repeat("x", 100_000-60)},
		"chunked": {"Transfer-Encoding: chunked", "1\r\nx\r\n", "0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var mu sync.Mutex
				var ends []error
				srv := f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						mu.Lock()
						ends = append(ends, err)
						mu.Unlock()
						w.WriteHeader(503)
						return
					}
					time.Sleep(100 * time.Millisecond) // work
				}, transport.WithSettings(transport.ServerSettings{ReadTimeout: time.Hour, WriteTimeout: time.Hour,
					Limit: limit.Settings{Initial: 2, Max: 2, Queue: 1, QueueWait: 10 * time.Millisecond}}))
				var conns []net.Conn
				for range 20 {
					conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
					if err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = io.Copy(io.Discard, conn) }()
					conns = append(conns, conn)
					fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", tc.header)
					time.Sleep(20 * time.Millisecond) // one after the other, or they would be refused at once
				}
				c := &http.Client{Transport: &http.Transport{DialContext: f.net.Dial}}
				for range 60 {
					for _, conn := range conns {
						_, _ = io.WriteString(conn, tc.trickle)
					}
					time.Sleep(time.Second)
					if inflight, _ := srv.Limit(); inflight != 0 {
						t.Fatalf("slow senders hold %d places", inflight)
					}
					resp, err := c.Get("http://a:1/")
					if err != nil || resp.StatusCode != 200 {
						t.Fatalf("got %v %v while others send slowly, want 200", resp, err)
					}
					_ = resp.Body.Close()
				}
				for _, conn := range conns { // now all of them at once
					go func() { _, _ = io.WriteString(conn, tc.end) }()
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if name != "small" && len(ends) < 10 {
					t.Errorf("%d of 20 slow senders were refused when all ended at once with 2 places", len(ends))
				}
				for _, err := range ends {
					if !errors.Is(err, limit.ErrShed) {
						t.Errorf("a body ended with %v, want limit.ErrShed", err)
					}
				}
				if inflight, _ := srv.Limit(); inflight != 0 || srv.InFlight() != 0 {
					t.Errorf("%d places and %d requests are left", inflight, srv.InFlight())
				}
				c.CloseIdleConnections()
				for _, conn := range conns {
					_ = conn.Close()
				}
			})
		})
	}
}
