package transport_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
)

// When a call comes back that was told to, by every form of the header: never
// before, a little later at random, never after the cap, and not at all if its
// deadline would pass first.
func TestRetryAfterForms(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		status   int
		header   func() string
		from, to time.Duration // of the second attempt; zero if there must be none
	}{
		"429, seconds":       {429, func() string { return "2" }, 2 * time.Second, 2400 * time.Millisecond},
		"503, seconds":       {503, func() string { return "2" }, 2 * time.Second, 2400 * time.Millisecond},
		"date":               {503, func() string { return in(10 * time.Second) }, 9 * time.Second, 12 * time.Second},
		"date that has gone": {503, func() string { return in(-time.Hour) }, 0, 25 * time.Millisecond},
		"seconds over cap":   {503, func() string { return "100" }, 30 * time.Second, 36 * time.Second},
		"date over cap":      {503, func() string { return in(time.Hour) }, 30 * time.Second, 36 * time.Second},
		"no number":          {503, func() string { return "soon" }, 0, 25 * time.Millisecond},
		"429, no number":     {429, func() string { return "soon" }, 0, 0},
		"429, none":          {429, func() string { return "" }, 0, 0},
		"429, over cap":      {429, func() string { return "100" }, 30 * time.Second, 36 * time.Second},
		"not to be retried":  {418, func() string { return "1" }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var came []time.Time
				f.start("busy", "a:1", func(w http.ResponseWriter, _ *http.Request) {
					came = append(came, time.Now())
					if len(came) > 1 {
						return
					}
					if h := tc.header(); h != "" {
						w.Header().Set("Retry-After", h)
					}
					w.WriteHeader(tc.status)
				})
				c := f.client(transport.WithPolicy(transport.Policy{Timeout: time.Minute}))
				status, _, err := get(t.Context(), c, "http://busy/")
				if tc.to == 0 {
					if len(came) != 1 || status != tc.status {
						t.Errorf("%d attempts, %d %v; want one and its answer", len(came), status, err)
					}
					return
				}
				if len(came) != 2 || status != 200 {
					t.Fatalf("%d attempts, %d %v; want two and success", len(came), status, err)
				}
				if d := came[1].Sub(came[0]); d < tc.from || d > tc.to {
					t.Errorf("came back after %v, want %v to %v", d, tc.from, tc.to)
				}
			})
		})
	}
}

// Clients that are told "1 s" at once are not back at once: not in one slot of
// 100 ms.
func TestToldTheSameTheyComeBackApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 200
		f := newFleet(t)
		var mu sync.Mutex
		slots, seen := map[time.Duration]int{}, 0
		began := time.Now()
		f.start("busy", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if seen++; seen <= clients {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(429)
				return
			}
			if time.Since(began) < time.Second {
				t.Errorf("back after %v", time.Since(began))
			}
			slots[time.Since(began)/(100*time.Millisecond)]++
		}, transport.WithExempt(func(*http.Request) bool { return true }))
		var wg sync.WaitGroup
		for i := range clients {
			c := f.client(transport.WithRand(random.New(uint64(i))))
			wg.Go(func() {
				if status, _, err := get(t.Context(), c, "http://busy/"); status != 200 {
					t.Errorf("got %d %v", status, err)
				}
			})
		}
		wg.Wait()
		for slot, n := range slots {
			if n > clients*65/100 {
				t.Errorf("%d of %d came back between %v and 100 ms later", n, clients, slot*100*time.Millisecond)
			}
		}
	})
}

// 429 says that there is too much, not that the instance is sick: it rests while
// another can serve, and neither its endpoint nor the circuit counts it.
func TestTooManyRequestsIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("busy", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		})
		f.start("busy", "b:1", answer(200))
		c := f.client()
		began := time.Now()
		for range 200 {
			if status, _, err := get(t.Context(), c, "http://busy/"); status != 200 {
				t.Errorf("got %d %v, want the other's answer", status, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n, d := f.hit("a:1"), time.Since(began); n == 0 || n > int(d.Seconds())+1 {
			t.Errorf("an instance that asked for a second's rest was called %d times in %v", n, d)
		}
		s := c.Services()[0]
		if state := s.Breaker.State().String(); state != "closed" {
			t.Errorf("the circuit is %s", state)
		}
		for _, e := range s.Balancer.Endpoints() {
			if e.State() == balance.Ejected {
				t.Errorf("%s is ejected", e.ID())
			}
		}
	})
}

// A service that answers that there are too many requests has served none, and
// pays for no more of them.
func TestTooManyRequestsFundNoRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", answer(http.StatusTooManyRequests))
		c := f.client()
		for range 50 {
			if status, _, err := get(t.Context(), c, "http://cart/"); status != http.StatusTooManyRequests {
				t.Fatal(status, err)
			}
			c.Services()[0].Budget.Take(retry.CostRetry)
			time.Sleep(time.Second)
		}
		if n := c.Services()[0].Budget.Tokens(); n != 0 {
			t.Errorf("%v retries can be paid for, want none", n)
		}
	})
}

// Who is shed asks another instance at once, as long as there is one; if there is
// none it comes back when it was told to.
func TestShedGoesElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		instances []string
		from, to  time.Duration // of the second attempt
	}{
		"two instances": {[]string{"a:1", "b:1"}, 0, 25 * time.Millisecond},
		"one instance":  {[]string{"a:1"}, 2 * time.Second, 2400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var came []time.Time
				for _, addr := range tc.instances {
					f.start("busy", addr, func(w http.ResponseWriter, _ *http.Request) {
						if came = append(came, time.Now()); len(came) == 1 {
							w.Header().Set(transport.HeaderShed, "1")
							w.Header().Set("Retry-After", "2")
							w.WriteHeader(http.StatusServiceUnavailable)
						}
					})
				}
				status, _, err := get(t.Context(), f.client(), "http://busy/")
				if status != http.StatusOK || len(came) != 2 {
					t.Fatalf("got %d %v after %d attempts, want success after two", status, err, len(came))
				}
				if d := came[1].Sub(came[0]); d < tc.from || d > tc.to {
					t.Errorf("the second attempt came after %v, want %v to %v", d, tc.from, tc.to)
				}
				if n := f.hit("a:1"); n != 2/len(tc.instances) {
					t.Errorf("%d attempts at the first of %d instances", n, len(tc.instances))
				}
			})
		})
	}
}
