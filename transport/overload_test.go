package transport_test

import (
	"context"
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

	"github.com/gabion-go/gabion/breaker"
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

// Where calls are throttled they are held back in proportion to what the
// service refuses, the circuit stays out of it, and all is well again soon after
// the service is.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var down atomic.Bool
		f.start("pricing", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			if down.Load() {
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		c := f.client(transport.WithPolicy(transport.Policy{Throttle: limit.ThrottlePolicy{On: true}}))
		second := func() (sent, throttled int) {
			before := f.hit("a:1")
			for range 100 {
				_, _, err := get(t.Context(), c, "http://pricing/")
				switch {
				case errors.Is(err, limit.ErrThrottled):
					throttled++
					if !transport.Unavailable(err) {
						t.Errorf("%v: want an error that a fallback answers", err)
					}
				case err != nil:
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			return f.hit("a:1") - before, throttled
		}
		if sent, throttled := second(); sent != 100 || throttled != 0 {
			t.Errorf("healthy: %d sent, %d throttled", sent, throttled)
		}
		down.Store(true)
		for range 60 {
			second()
		}
		if sent, _ := second(); sent < 1 || sent > 10 {
			t.Errorf("after a minute of refusals %d of 100 calls are sent, want a few", sent)
		}
		if s := c.Services()[0].Breaker.State(); s != breaker.Closed {
			t.Errorf("the circuit is %v, want it closed", s)
		}
		down.Store(false)
		for range 30 {
			second()
		}
		if sent, _ := second(); sent != 100 {
			t.Errorf("half a minute after the last refusal %d of 100 calls are sent", sent)
		}
		idle(t, c)
	})
}

// Calls that matter less leave places to those that matter more.
func TestBulkheadByCriticality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", after(time.Second))
		c := f.client(transport.WithPolicy(transport.Policy{Limit: limit.Policy{MaxInflight: 4}}))
		results := make(chan error, 10)
		call := func(ctx context.Context, header map[string]string) {
			go func() {
				_, _, err := do(ctx, c, "GET", "http://pricing/", "", header)
				results <- err
			}()
			synctest.Wait()
		}
		low := transport.WithCriticality(t.Context(), limit.Sheddable)
		call(low, nil)
		call(t.Context(), map[string]string{transport.HeaderCriticality: "sheddable"})
		call(low, nil)
		if err := <-results; !errors.Is(err, transport.ErrBulkheadFull) || !strings.Contains(err.Error(), "limit 2") {
			t.Errorf("error %v, want that half of the places are not for it", err)
		}
		call(t.Context(), nil)
		call(t.Context(), nil)
		for range 4 {
			if err := <-results; err != nil {
				t.Errorf("a call within its share: %v", err)
			}
		}
		idle(t, c)
	})
}
