package gossip_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/discovery/gossip"
)

// patience is for how long tests wait for what must come true.
const patience = 20 * time.Second

// label returns one that no other test has, on this machine or in this run.
func label() string { return fmt.Sprintf("test-%016x", rand.Uint64()) }

func start(t *testing.T, c gossip.Config) *gossip.Backend {
	t.Helper()
	b, err := gossip.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func instance(service string, n int) discovery.Instance {
	return discovery.Instance{
		ID:      fmt.Sprintf("%s-%d", service, n),
		Service: service,
		Addr:    fmt.Sprintf("127.0.0.1:%d", 20000+n),
	}
}

func register(t *testing.T, b *gossip.Backend, in discovery.Instance) discovery.Registration {
	t.Helper()
	r, err := b.Register(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eventually waits until ok says yes and returns how long that took.
func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > patience {
			t.Fatalf("no %s after %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(begin)
}

func members(n int, nodes ...*gossip.Backend) func() bool {
	return func() bool {
		for _, b := range nodes {
			if b.Members() != n {
				return false
			}
		}
		return true
	}
}

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
		l := label()
		writer := start(t, gossip.Config{Label: l})
		reader := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{writer.Addr()}})
		return discoverytest.Harness{Backend: writer, Reader: reader}
	})
}
