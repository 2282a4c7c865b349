package discoverytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// DefaultPatience is for how long the suite waits for what must come true.
const DefaultPatience = 15 * time.Second

// A Harness is what the suite tests, and what it has to know of it. The suite
// closes Backend and Reader.
type Harness struct {
	// Backend is the registry; instances are registered with it.
	Backend discovery.Backend
	// Reader is a second way into the same registry, as another process has
	// it; everything is watched there. Nil means Backend.
	Reader discovery.Backend
	// Set is given for a backend that cannot register: it makes list the list
	// of service. Register must fail with [discovery.ErrReadOnly] then, and
	// the cases about registration are left out.
	Set func(service string, list []discovery.Instance) error
	// Patience is for how long to wait. Zero means [DefaultPatience].
	Patience time.Duration
}

// Run runs the suite, each case as a subtest with a harness of its own. Names
// of services and IDs end in random digits, so open may return handles of one
// shared registry. Cases do not run in parallel.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			s := newSuite(t, open(t))
			if c.registers && s.Set != nil {
				t.Skip("the backend is read-only")
			}
			if !c.registers || s.Set == nil {
				c.run(t, s)
			}
		})
	}
}

// A testCase is one subtest. One that registers needs a backend that can.
type testCase struct {
	name      string
	registers bool
	run       func(*testing.T, *suite)
}

var cases = slices.Concat(watchCases, registerCases, closeCases)

// suite is the harness of one case with what the cases share.
type suite struct {
	Harness
	suffix string

	mu   sync.Mutex
	sets map[string][]discovery.Instance // what Set was told last
}

func newSuite(t *testing.T, h Harness) *suite {
	t.Helper()
	if h.Backend == nil {
		t.Fatal("discoverytest: the harness has no Backend")
	}
	if h.Reader == nil {
		h.Reader = h.Backend
	}
	if h.Patience == 0 {
		h.Patience = DefaultPatience
	}
	s := &suite{
		Harness: h,
		suffix:  fmt.Sprintf("-%08x", rand.Uint32()),
		sets:    map[string][]discovery.Instance{},
	}
	t.Cleanup(func() { s.close(t) })
	return s
}

func (s *suite) close(t *testing.T) {
	t.Helper()
	for _, b := range []discovery.Backend{s.Reader, s.Backend} {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// name makes the name of a service that no other case uses.
func (s *suite) name(base string) string { return base + s.suffix }

// instance makes an instance of service, the n-th. Nothing listens there.
func (s *suite) instance(service string, n int) discovery.Instance {
	return discovery.Instance{
		ID:      fmt.Sprintf("%s-%d", service, n),
		Service: service,
		Addr:    fmt.Sprintf("127.0.0.1:%d", 20000+n),
	}
}

// announce puts in into the registry and returns what takes it out again.
func (s *suite) announce(t *testing.T, in discovery.Instance) (withdraw func()) {
	t.Helper()
	if s.Set != nil {
		s.set(t, in.Service, func(l []discovery.Instance) []discovery.Instance { return append(l, in) })
		return func() {
			t.Helper()
			s.set(t, in.Service, func(l []discovery.Instance) []discovery.Instance {
				return slices.DeleteFunc(l, func(o discovery.Instance) bool { return o.ID == in.ID })
			})
		}
	}
	reg := s.register(t, in, nil)
	return func() {
		t.Helper()
		s.deregister(t, reg)
	}
}

func (s *suite) set(t *testing.T, service string, change func([]discovery.Instance) []discovery.Instance) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[service] = change(s.sets[service])
	if err := s.Set(service, discovery.CloneList(s.sets[service])); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

// register announces in; it is taken out at the end of the case at the latest.
func (s *suite) register(t *testing.T, in discovery.Instance, status discovery.StatusFunc) discovery.Registration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	reg, err := s.Backend.Register(ctx, in, status)
	if err != nil {
		t.Fatalf("Register %s: %v", in.ID, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
		defer cancel()
		_ = reg.Deregister(ctx)
	})
	return reg
}

func (s *suite) deregister(t *testing.T, reg discovery.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	if err := reg.Deregister(ctx); err != nil {
		t.Errorf("Deregister: %v", err)
	}
}

// within fails the test unless done is closed in time.
func (s *suite) within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(s.Patience):
		t.Fatalf("%s: still not after %v", what, s.Patience)
	}
}
