package transporttest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// TestRegistryConformance is the suite that every backend passes. It makes
// subtests, which a bubble forbids, so that it runs in real time: the network's
// code does not know the difference.
func TestRegistryConformance(t *testing.T) {
	n := transporttest.New(t, transporttest.WithRegistryDelay(dist.Uniform(time.Millisecond, 3*time.Millisecond)))
	n.Serve("bystander", 1, hello) // starts what the registry runs
	one, two := n.Host("one").Process(), n.Host("two").Process()
	for list, err := range one.Registry().Watch(t.Context(), "bystander") {
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 {
			break
		}
	}
	discoverytest.Run(t, func(*testing.T) discoverytest.Harness {
		return discoverytest.Harness{Backend: one.Registry(), Reader: two.Registry()}
	})
}

// What a watcher does to the lists that it is given changes nothing in what it is
// told next: a list that is the same is not told again.
func TestListsBelongToTheWatcher(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		p := n.Host("one").Process()
		announce := func(service string) {
			in := discovery.Instance{ID: service + "-1", Service: service, Addr: "one:1", Tags: []string{"tag"}, Meta: map[string]string{"k": "v"}}
			if _, err := p.Registry().Register(t.Context(), in, nil); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		announce("tagged")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var told atomic.Int32
		go func() {
			for list, err := range p.Registry().Watch(ctx, "tagged") {
				if err != nil || len(list) != 1 {
					t.Errorf("told of %v, %v", list, err)
					return
				}
				told.Add(1)
				list[0].Tags[0], list[0].Meta["k"] = "ruined", "ruined"
			}
		}()
		time.Sleep(time.Second)
		announce("other") // wakes every watch
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times of what has not changed", n)
		}
	})
}

// What the registry says while it has a fault, from second 1 to second 6, and
// that a client of gabion goes on.
func TestRegistryFaults(t *testing.T) {
	truth := []string{"server-1", "server-2", "server-3", "server-4"}
	for kind, want := range map[transporttest.Kind][]string{
		transporttest.RegistryEmpty:     {},
		transporttest.RegistryStale:     truth,
		transporttest.RegistryHalf:      {"server-1", "server-3"},
		transporttest.RegistryDuplicate: {"server-1", "server-1-again", "server-2", "server-2-again", "server-3", "server-3-again", "server-4", "server-4-again"},
		transporttest.RegistryOutage:    nil, // an error
	} {
		for _, on := range []string{"server", "*"} {
			t.Run(string(kind)+" on "+on, func(t *testing.T) {
				transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
					n.Serve("server", 4, hello)
					n.Serve("other", 1, hello)
					client := n.Host("client").Process()
					seen, other := watch(t, client.Registry(), "server"), watch(t, client.Registry(), "other")
					n.Fault(transporttest.Fault{Kind: kind, On: on, At: time.Second, For: 5 * time.Second})
					go func() {
						time.Sleep(900 * time.Millisecond)
						seen.want(t, truth...)
						time.Sleep(3 * time.Second)
						if want == nil {
							if err := seen.failing(); !errors.Is(err, transporttest.ErrRegistryDown) {
								t.Errorf("during: got %v, want ErrRegistryDown", err)
							}
						} else {
							seen.want(t, want...)
						}
						if on == "server" {
							other.want(t, "other-1")
						}
						// It lasts at most a second to ask again, and 120 ms to hear.
						time.Sleep(4 * time.Second)
						seen.want(t, truth...)
						other.want(t, "other-1")
					}()
					r := n.Run(load.Load{Client: "client", Service: "server", Rate: 20, For: 10 * time.Second})
					if r.Success != 1 {
						t.Errorf("success of gabion's client: got %v, want 1", r.Success)
					}
				})
			})
		}
	}
}

// A client that begins while the registry is down waits for it, and fails if
// that takes too long.
func TestRegistryOutageAtTheStart(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, hello)
		n.Fault(transporttest.Fault{Kind: transporttest.RegistryOutage, On: "*", For: 2 * time.Second})
		time.Sleep(time.Millisecond)
		c := n.Host("client").Process().Client()
		if got := call(c, "http://server/", time.Second); got.err == nil {
			t.Errorf("got %v without a registry", got)
		}
		if got := call(c, "http://server/", 4*time.Second); got.err != nil || got.took < 500*time.Millisecond {
			t.Errorf("got %v, want a 200 once the registry is back", got)
		}
	})
}

// Stale means that callers do not hear of who comes and goes; half and empty
// lists come with the truth below them.
func TestRegistryStaleHidesChanges(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 2, hello)
		client := n.Host("client").Process()
		seen := watch(t, client.Registry(), "server")
		start := time.Now()
		n.Fault(
			transporttest.Fault{Kind: transporttest.RegistryStale, On: "server", At: time.Second, For: 20 * time.Second},
			transporttest.Fault{Kind: transporttest.Restart, On: "server-1", At: 2 * time.Second, For: 5 * time.Second},
		)
		until(start, 15*time.Second)
		seen.want(t, "server-1", "server-2")
		late := watch(t, client.Registry(), "server")
		until(start, 16*time.Second)
		late.want(t, "server-1", "server-2")
		until(start, 22*time.Second)
		seen.want(t, "server-1.2", "server-2")
		late.want(t, "server-1.2", "server-2")
	})
}

// An instance that crashes stays listed for its time to live; one that is only
// cut off from the registry is listed again when it is back, under its ID.
func TestRegistryTimeToLive(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 3, hello)
		seen := watch(t, n.Host("client").Process().Registry(), "server")
		start := time.Now()
		n.Fault(
			transporttest.Fault{Kind: transporttest.Crash, On: "server-1", At: 10 * time.Second},
			transporttest.Fault{Kind: transporttest.Partition, From: "server-2", To: "registry", At: 10 * time.Second, For: 20 * time.Second},
			transporttest.Fault{Kind: transporttest.Pause, On: "server-3", At: 10 * time.Second, For: 3 * time.Second},
		)
		until(start, 13500*time.Millisecond)
		seen.want(t, "server-1", "server-2", "server-3")
		until(start, 17*time.Second)
		seen.want(t, "server-3")
		until(start, 29*time.Second)
		seen.want(t, "server-3")
		until(start, 32*time.Second)
		seen.want(t, "server-2", "server-3")
	}, transporttest.WithRegistryTTL(5*time.Second))
}

// A change of status is news at once, and an instance that registers while the
// registry is down is listed when it is back.
func TestRegistryStatus(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		backend := n.Host("one").Process().Registry()
		defer backend.Close()
		seen := watch(t, n.Host("two").Process().Registry(), "s")
		h := &health{status: discovery.Passing, changed: make(chan struct{})}
		in := discovery.Instance{ID: "s-1", Service: "s", Addr: "one:80"}
		n.Fault(transporttest.Fault{Kind: transporttest.RegistryOutage, On: "*", For: 5 * time.Second})
		time.Sleep(time.Millisecond)
		reg, err := backend.Register(t.Context(), in, h.now)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !errors.Is(reg.Err(), transporttest.ErrRegistryDown) {
			t.Errorf("Err while the registry is down: %v", reg.Err())
		}
		time.Sleep(7 * time.Second)
		seen.want(t, "s-1")
		if reg.Err() != nil {
			t.Errorf("Err when the registry is back: %v", reg.Err())
		}
		h.set(discovery.Critical)
		time.Sleep(200 * time.Millisecond)
		seen.want(t)
		h.set(discovery.Warning)
		time.Sleep(200 * time.Millisecond)
		seen.want(t, "s-1")
		if err := reg.Deregister(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(200 * time.Millisecond)
		seen.want(t)
	})
}

// Deregistering while the registry is away is tried until the context ends.
func TestDeregisterWithoutRegistry(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		backend := n.Host("one").Process().Registry()
		reg, err := backend.Register(t.Context(), discovery.Instance{ID: "s-1", Service: "s", Addr: "one:80"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		n.Fault(transporttest.Fault{Kind: transporttest.RegistryOutage, On: "*", For: time.Minute})
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := reg.Deregister(ctx); !errors.Is(err, transporttest.ErrRegistryDown) || time.Since(start) != 10*time.Second {
			t.Errorf("got %v after %v, want ErrRegistryDown after 10s", err, time.Since(start))
		}
		seen := watch(t, n.Host("two").Process().Registry(), "s")
		time.Sleep(2 * time.Minute)
		seen.want(t) // it has stopped beating: the registry forgot it
	})
}

// health is a status that a test sets.
type health struct {
	mu      sync.Mutex
	status  discovery.Status
	changed chan struct{}
}

func (h *health) now() (discovery.Status, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status, h.changed
}

func (h *health) set(s discovery.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = s
	close(h.changed)
	h.changed = make(chan struct{})
}

// Watching the registry costs nothing while nothing happens, and what it yields
// belongs to the caller.
func TestRegistryLists(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Launch("server", 1, func(ctx context.Context, p *transporttest.Process) error {
			in := p.Instance("a", 2)
			in.Tags = []string{"blue"}
			reg, err := p.Registry().Register(ctx, in, nil)
			if err != nil {
				return err
			}
			in.Tags[0] = "ruined"
			<-ctx.Done()
			return reg.Deregister(context.WithoutCancel(ctx))
		})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		yields := 0
		for range 2 {
			for list, err := range n.Host("client").Process().Registry().Watch(ctx, "server") {
				yields++
				if err != nil || len(list) != 1 || !slices.Equal(list[0].Tags, []string{"blue"}) || list[0].Zone != "a" || list[0].Weight != 2 {
					t.Fatalf("got %+v, %v", list, err)
				}
				list[0].Tags[0] = "ruined"
				break
			}
		}
		for range n.Host("client").Process().Registry().Watch(ctx, "server") {
			yields++ // once, in an hour
		}
		if yields != 3 {
			t.Errorf("%d lists, want 3", yields)
		}
	})
}

// Every process is found under an ID of its own, with the zone and weight of
// its replica.
func TestServeRegisters(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 3, func(*transporttest.Process) http.Handler { return http.NotFoundHandler() },
			transporttest.WithZones("a", "b"), transporttest.WithWeights(3, 1))
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "server-2", At: time.Second, For: time.Second})
		time.Sleep(30 * time.Second)
		var got []string
		for list := range n.Host("client").Process().Registry().Watch(t.Context(), "server") {
			for _, in := range list {
				got = append(got, fmt.Sprint(in.ID, " ", in.Addr, " ", in.Zone, " ", in.Weight))
			}
			break
		}
		want := []string{"server-1 server-1:80 a 3", "server-2.2 server-2:80 b 1", "server-3 server-3:80 a 3"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}
