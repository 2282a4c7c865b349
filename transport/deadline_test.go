package transport_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
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
