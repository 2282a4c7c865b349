package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// spared notes what would have refused calls and requests.
type spared struct {
	transport.Observer
	mu   sync.Mutex
	seen map[transport.ShadowLimit]int
}

func (*spared) StartCall(ctx context.Context, _ *transport.Call) context.Context { return ctx }
func (*spared) StartAttempt(ctx context.Context, _ *transport.Call, _ *transport.Attempt) context.Context {
	return ctx
}
func (*spared) EndAttempt(context.Context, *transport.Call, *transport.Attempt) {}
func (*spared) StartService(transport.ServiceState) func()                      { return nil }

func (s *spared) EndCall(_ context.Context, c *transport.Call) {
	for _, l := range c.Shadowed {
		s.count(l)
	}
}

func (*spared) StartRequest(ctx context.Context, _ *transport.Request) context.Context { return ctx }
func (s *spared) EndRequest(_ context.Context, q *transport.Request) {
	if q.Shadowed != "" {
		s.count(q.Shadowed)
	}
}

func (s *spared) count(l transport.ShadowLimit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[transport.ShadowLimit]int{}
	}
	s.seen[l]++
}

// Each limit can be in the shadow: then nothing is refused, and what would have
// been is counted. In the light the same calls are refused.
func TestShadowedLimits(t *testing.T) {
	once := retry.Policy{Attempts: 1}
	for name, c := range map[string]struct {
		limit  transport.ShadowLimit
		policy func(shadow bool) transport.Policy
		server func(shadow bool) limit.Settings
		fails  bool // the service
		calls  int  // at once, or one after the other if the service fails
		want   int  // how many are refused
	}{
		"breaker": {transport.ShadowBreaker, func(shadow bool) transport.Policy {
			return transport.Policy{Retry: once, Breaker: breaker.Settings{Consecutive: 3, Shadow: shadow, OpenFor: time.Hour, MaxOpenFor: time.Hour}}
		}, nil, true, 10, 7},
		"bulkhead": {transport.ShadowBulkhead, func(shadow bool) transport.Policy {
			return transport.Policy{Retry: once, Limit: limit.Policy{MaxInflight: 4, Shadow: shadow}}
		}, nil, false, 10, 6},
		"bulkhead of a route": {transport.ShadowBulkhead, func(shadow bool) transport.Policy {
			return transport.Policy{Retry: once, Routes: map[string]transport.Route{"GET /": {Limit: limit.Policy{MaxInflight: 3, Shadow: shadow}}}}
		}, nil, false, 10, 7},
		"server": {transport.ShadowQueue, func(bool) transport.Policy {
			return transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute, Retry: once}
		}, func(shadow bool) limit.Settings {
			return limit.Settings{Min: 2, Max: 2, Queue: 3, QueueWait: time.Minute, Shadow: shadow}
		}, false, 10, 5},
	} {
		for _, shadow := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", name, shadow), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, seen := newFleet(t), &spared{}
					var opts []transport.ServerOption
					if c.server != nil {
						opts = append(opts, transport.WithSettings(transport.ServerSettings{Limit: c.server(shadow)}), transport.WithServerObserver(seen))
					}
					f.start("cart", "a:1", func(w http.ResponseWriter, _ *http.Request) {
						time.Sleep(time.Second)
						if c.fails {
							w.WriteHeader(http.StatusInternalServerError)
						}
					}, opts...)
					cl := f.client(transport.WithPolicy(c.policy(shadow)), transport.WithObserver(seen))
					refused := refusals(t, cl, c.calls, c.fails)
					time.Sleep(time.Minute) // until the handlers have ended
					want := map[bool][2]int{true: {c.want, 0}, false: {0, c.want}}[shadow]
					if got := [2]int{seen.seen[c.limit], refused}; got != want {
						t.Errorf("spared and refused: %v, want %v", got, want)
					}
					if s := stateOf(t, cl, "cart"); s.Bulkhead.InFlight() != 0 {
						t.Errorf("%d places taken in the end", s.Bulkhead.InFlight())
					} else if r := s.RouteLimits(); len(r) == 1 && [2]int{int(r[0].Spared), int(r[0].Refused)} != want {
						t.Errorf("the route's limit %+v, want %v spared and refused", r[0], want)
					}
				})
			})
		}
	}
}

// refusals makes calls, in turn or at once, and returns how many were refused.
func refusals(t *testing.T, c *transport.Client, n int, inTurn bool) (refused int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	one := func() {
		status, _, err := get(t.Context(), c, "http://cart/")
		mu.Lock()
		defer mu.Unlock()
		if errors.Is(err, breaker.ErrOpen) || errors.Is(err, transport.ErrBulkheadFull) || status == http.StatusServiceUnavailable {
			refused++
		}
	}
	for range n {
		wg.Go(one)
		if inTurn {
			wg.Wait()
		}
	}
	wg.Wait()
	return refused
}

// A throttle in the shadow leaves the guard to the circuit.
func TestShadowedThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, seen := newFleet(t), &spared{}
		f.start("cart", "a:1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		c := f.client(transport.WithObserver(seen), transport.WithPolicy(transport.Policy{
			Retry: retry.Policy{Attempts: 1}, Throttle: limit.ThrottlePolicy{On: true, Shadow: true}, Breaker: breaker.Settings{Consecutive: 60},
		}))
		var errs []error
		for range 100 {
			_, _, err := get(t.Context(), c, "http://cart/")
			errs = append(errs, err)
		}
		if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, limit.ErrThrottled) }) {
			t.Error("a call was held back")
		}
		if n := seen.seen[transport.ShadowThrottle]; n < 20 {
			t.Errorf("%d calls would have been held back, want many", n)
		}
		if !errors.Is(errs[99], breaker.ErrOpen) {
			t.Errorf("the last call: %v, want the circuit to be open", errs[99])
		}
	})
}
