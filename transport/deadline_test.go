package transport_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/retry"
)

// The server of an impatient caller breaks off, or says that it could not, a
// moment before the caller's deadline. That is neither an answer nor a fault of
// the service, whose circuit others need.
func TestImpatientCallers(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		status  int
	}{
		"broken off": {after(time.Minute), 0},
		"an error": {func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(500)
		}, 500},
		"not a word": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("cart", "a:1", tc.handler)
				c := f.client()
				for range 15 {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					status, _, err := get(ctx, c, "http://cart/")
					cancel()
					if status != tc.status {
						t.Fatalf("got %d %v, want %d", status, err, tc.status)
					}
					if status == 0 && (!errors.Is(err, context.DeadlineExceeded) || errors.Is(err, transport.ErrTimeout)) {
						t.Fatalf("got %v, want the caller's deadline", err)
					}
				}
				if got := c.Services()[0].Breaker.State(); got != breaker.Closed {
					t.Errorf("the circuit is %v, want it closed", got)
				}
				// Those who give it all the time of the policy find out.
				for range 15 {
					_, _, _ = get(t.Context(), c, "http://cart/")
				}
				if got := c.Services()[0].Breaker.State(); got == breaker.Closed {
					t.Error("the circuit is closed though every call fails")
				}
			})
		})
	}
}

// A retry for which there is less time than any answer has taken of late cannot
// finish, and is not made; one for which there is more is, and so is one of which
// nothing is known.
func TestRetriesThatCannotFinish(t *testing.T) {
	for name, tc := range map[string]struct {
		known int // answers before
		since time.Duration
		left  time.Duration
		want  int // attempts
	}{
		"too little": {30, 0, 200 * time.Millisecond, 1},
		"enough":     {30, 0, 400 * time.Millisecond, 2},
		"unknown":    {10, 0, 200 * time.Millisecond, 2},
		"long ago":   {30, 20 * time.Second, 200 * time.Millisecond, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var down atomic.Bool
				f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
					if down.Load() {
						w.WriteHeader(503)
						return
					}
					after(300*time.Millisecond)(w, r)
				})
				c := f.client(transport.WithPolicy(transport.Policy{Retry: retry.Policy{Attempts: 2, Base: time.Millisecond, Cap: time.Millisecond}}))
				callAll(t, c, tc.known)
				time.Sleep(tc.since)
				down.Store(true)
				ctx, cancel := context.WithTimeout(t.Context(), tc.left)
				defer cancel()
				before := f.total()
				if status, _, err := get(ctx, c, "http://pricing/"); status != 503 {
					t.Fatalf("got %d %v", status, err)
				}
				if n := f.total() - before; n != tc.want {
					t.Errorf("%d attempts, want %d", n, tc.want)
				}
			})
		})
	}
}
