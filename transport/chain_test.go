package transport_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// chain starts one server for each name, each of which answers what the next
// one answers to it; last answers for the last. It returns the clients, the
// user's first.
func chain(f *fleet, names []string, last http.HandlerFunc) []*transport.Client {
	f.t.Helper()
	clients := []*transport.Client{f.client()}
	for i, name := range names {
		h := last
		if i+1 < len(names) {
			client, next := f.client(), names[i+1]
			clients = append(clients, client)
			h = func(w http.ResponseWriter, r *http.Request) {
				status, _, err := get(r.Context(), client, "http://"+next+"/")
				if err != nil {
					status = http.StatusBadGateway
				}
				w.WriteHeader(status)
			}
		}
		f.start(name, name+":1", h)
	}
	return clients
}

// The circuit next to what is down opens, and no other: those above it go
// neither by that refusal nor by what it stands for, and so nobody has to wait
// for them when all is well again.
func TestOneCircuitOpensInAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var down bool
		var mu sync.Mutex
		clients := chain(f, []string{"a", "b", "c", "d"}, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		set := func(on bool) { mu.Lock(); defer mu.Unlock(); down = on }
		call := func() int {
			status, _, err := get(t.Context(), clients[0], "http://a/")
			if err != nil {
				t.Fatalf("the user's call: %v", err)
			}
			return status
		}
		if s := call(); s != http.StatusOK {
			t.Fatalf("got %d", s)
		}

		set(true)
		const calls = 200
		before := f.total()
		for range calls {
			if s := call(); s < 500 {
				t.Fatalf("got %d of a chain whose end is down", s)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := f.hit("d:1"); n > calls/5 {
			t.Errorf("%d of %d calls came to what is down", n, calls)
		}
		if n := f.total() - before - f.hit("d:1"); n > 3*calls {
			t.Errorf("%d requests to the three servers in front for %d calls: somebody retried", n, calls)
		}
		for i, c := range clients {
			want := breaker.Closed
			if i == len(clients)-1 {
				want = breaker.Open
			}
			s := c.Services()[0]
			if got := s.Breaker.State(); got != want {
				t.Errorf("circuit for %s is %v, want %v", s.Name, got, want)
			}
			if s.Balancer.Stats().Available != 1 {
				t.Errorf("endpoints of %s: %+v", s.Name, s.Balancer.Stats())
			}
		}

		set(false)
		time.Sleep(12 * time.Second) // the longest open period
		for range 3 {                // its probes
			if s := call(); s != http.StatusOK {
				t.Fatalf("got %d from the chain after one open period", s)
			}
		}
	})
}

// An open circuit does not wait for its time when the registry has found new
// instances, but a change that brings none is no reason to hurry.
func TestNewInstancesAreProbedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("s", "a:1", answer(http.StatusInternalServerError))
		f.start("s", "b:1", answer(http.StatusInternalServerError))
		c := f.client(transport.WithPolicy(transport.Policy{Breaker: breaker.Settings{OpenFor: 10 * time.Second, MaxOpenFor: time.Minute, Jitter: -1}}))
		call := func() (int, error) {
			status, _, err := get(t.Context(), c, "http://s/")
			return status, err
		}
		for range 10 {
			_, _ = call()
		}
		b := c.Services()[0].Breaker
		time.Sleep(10 * time.Second)
		_, _ = call() // the probe fails: now for 20 s
		if s := b.State(); s != breaker.Open {
			t.Fatalf("the circuit is %v", s)
		}

		if err := f.static.Set("s", f.instances["s"][:1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if s := b.State(); s != breaker.Open {
			t.Fatalf("the circuit is %v, and all that is new is that one has left", s)
		}
		f.kill("a:1")
		f.kill("b:1")
		f.instances["s"] = nil
		f.start("s", "c:1", answer(http.StatusOK))
		time.Sleep(10 * time.Second) // OpenFor; five seconds more without the news
		for range 3 {
			if status, err := call(); status != http.StatusOK {
				t.Errorf("got %d %v from the new instance", status, err)
			}
		}
		if s := b.State(); s != breaker.Closed {
			t.Errorf("the circuit is %v", s)
		}
	})
}

// Thirty users with 300 ms of patience ask a chain whose end is slow and takes
// two at a time, so that there are queues, retries and work in progress at every
// hop when the time is up. No hop has more of it than the one before, nothing
// begins after it, and nothing goes on.
func TestNothingRunsAfterTheRootsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var mu sync.Mutex
		var began, running int
		root := time.Now().Add(300 * time.Millisecond)
		watch := func(h http.HandlerFunc) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				d, ok := r.Context().Deadline()
				if now := time.Now(); !ok || d.After(root) || !now.Before(root) {
					t.Errorf("work began %v before the root's deadline with one %v before it (%t)", root.Sub(now), root.Sub(d), ok)
				}
				mu.Lock()
				began++
				running++
				mu.Unlock()
				h(w, r)
				mu.Lock()
				defer mu.Unlock()
				if running--; time.Now().After(root) {
					t.Errorf("work ended %v after the root's deadline", time.Since(root))
				}
			}
		}
		policy := transport.WithPolicy(transport.Policy{AttemptTimeout: 110 * time.Millisecond})
		next := ""
		for _, name := range []string{"d", "c", "b", "a"} {
			client, to := f.client(policy), next
			h := func(w http.ResponseWriter, r *http.Request) {
				if status, _, err := get(r.Context(), client, "http://"+to+"/"); err != nil {
					w.WriteHeader(http.StatusBadGateway)
				} else {
					w.WriteHeader(status)
				}
			}
			var opts []transport.ServerOption
			if to == "" {
				h = func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-r.Context().Done():
					case <-time.After(90 * time.Millisecond):
					}
				}
				opts = append(opts, transport.WithSettings(transport.ServerSettings{
					Limit: limit.Settings{Initial: 2, Min: 2, Max: 2, QueueWait: time.Hour}}))
			}
			f.start(name, name+":1", watch(h), opts...)
			next = name
		}
		user := f.client(policy)
		ctx, cancel := context.WithDeadline(t.Context(), root)
		defer cancel()
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { _, _, _ = get(ctx, user, "http://a/") })
		}
		wg.Wait()
		if time.Now().After(root) {
			t.Errorf("the users waited until %v after their deadline", time.Since(root))
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if began < 60 || f.hit("d:1") < 4 || running != 0 {
			t.Errorf("%d began, %d at the end of the chain, %d run on", began, f.hit("d:1"), running)
		}
	})
}
