package transport_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// A service that accepts requests and answers none holds no more callers than
// the bulkhead has places, and each no longer than a call may take. The
// circuit opens, nothing is left behind, and calls succeed once there are
// answers again.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, places = 2000, 1024 // by default
		f := newFleet(t)
		var hole atomic.Bool
		f.start("pricing", "a:1", func(_ http.ResponseWriter, r *http.Request) {
			if hole.Load() {
				<-r.Context().Done()
			}
		}, transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 4096, Min: 4096, Max: 4096}}))
		c := f.client()
		if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
			t.Fatalf("got %d %v", status, err)
		}
		s := c.Services()[0]
		c.CloseIdleConnections()
		synctest.Wait()
		base := leaktest.InBubbles()
		hole.Store(true)
		var full, late atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				start := time.Now()
				status, _, err := get(t.Context(), c, "http://pricing/")
				switch took := time.Since(start); {
				case errors.Is(err, transport.ErrBulkheadFull) && took == 0:
					full.Add(1)
				case (errors.Is(err, context.DeadlineExceeded) || status == http.StatusGatewayTimeout) && took <= transport.DefaultTimeout:
					late.Add(1)
				default:
					t.Errorf("got %d %v after %v", status, err, took)
				}
			})
		}
		synctest.Wait()
		if n := s.Bulkhead.InFlight(); n != places {
			t.Errorf("%d calls are in flight, want %d", n, places)
		}
		wg.Wait()
		if late.Load() != places || full.Load() != callers-places {
			t.Errorf("%d callers waited and %d were refused", late.Load(), full.Load())
		}
		if state := s.Breaker.State(); state == breaker.Closed { // it has opened when attempts ran out of time, and probes by now
			t.Errorf("the circuit is %v", state)
		}
		c.CloseIdleConnections()
		synctest.Wait()
		if n := leaktest.InBubbles(); n > base {
			t.Errorf("%d goroutines, %d before", n, base)
		}
		hole.Store(false)
		time.Sleep(transport.DefaultTimeout)
		for i := range 20 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 && !errors.Is(err, breaker.ErrOpen) {
				t.Errorf("call %d after the recovery: %d %v", i, status, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
			t.Errorf("long after the recovery: %d %v", status, err)
		}
	})
}
