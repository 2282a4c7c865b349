package transport_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
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
