package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// registerCases need a backend that can register.
var registerCases = []testCase{
	{name: "status decides who is found", registers: true, run: statusDecides},
	{name: "what was registered is kept apart", registers: true, run: keptApart},
	{name: "a registration is announced", registers: true, run: announced},
	{name: "deregistering twice is once", registers: true, run: deregisterTwice},
	{name: "deregistering one leaves the others", registers: true, run: othersStay},
	{name: "deregistering is bounded", registers: true, run: deregisterBounded},
	{name: "fifty quick cycles leave nothing", registers: true, run: quickCycles},
	{name: "many at the same time", registers: true, run: manyAtOnce},
	{name: "bad instances are refused", registers: true, run: badInstances},
}

// A health is a status that a test sets.
type health struct {
	mu      sync.Mutex
	status  discovery.Status
	changed chan struct{}
}

func newHealth(s discovery.Status) *health { return &health{status: s, changed: make(chan struct{})} }

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

func statusDecides(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	good, sick := s.instance(service, 1), s.instance(service, 2)
	h := newHealth(discovery.Critical)
	s.register(t, sick, h.now)
	s.register(t, good, nil)
	w.has(good)
	for _, step := range []struct {
		status discovery.Status
		found  bool
	}{
		{discovery.Passing, true}, {discovery.Critical, false}, {discovery.Warning, true},
		{discovery.Passing, true}, {discovery.Critical, false}, {discovery.Passing, true},
	} {
		h.set(step.status)
		if step.found {
			w.has(good, sick)
		} else {
			w.has(good)
		}
	}
}

func keptApart(t *testing.T, s *suite) {
	service := s.name("pricing")
	in := s.talkative(service, 1)
	want := in.Clone()
	h := newHealth(discovery.Critical)
	s.register(t, in, h.now)
	in.Tags[0], in.Meta["admin"] = "ruined", "ruined"
	h.set(discovery.Passing)
	s.watch(t, service).has(want)
}

func announced(t *testing.T, s *suite) {
	service := s.name("pricing")
	reg := s.register(t, s.instance(service, 1), nil)
	s.watch(t, service).has(s.instance(service, 1))
	for deadline := time.Now().Add(s.Patience); reg.Err() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("found, but Err still says %v", reg.Err())
		}
	}
}

func deregisterTwice(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	a := s.instance(service, 1)
	old := s.register(t, a, nil)
	w.has(a)
	s.deregister(t, old)
	s.deregister(t, old)
	w.has()
	s.register(t, a, nil)
	w.has(a)
	before := w.count()
	s.deregister(t, old) // must not touch its successor
	b := s.instance(service, 2)
	s.register(t, b, nil)
	w.has(a, b)
	if n := w.count() - before; n != 1 {
		t.Errorf("%d changes seen, want 1", n)
	}
}

func othersStay(t *testing.T, s *suite) {
	one, two := s.name("one"), s.name("two")
	gone := s.register(t, s.instance(one, 1), nil)
	h := newHealth(discovery.Passing)
	s.register(t, s.instance(two, 2), h.now)
	w1, w2 := s.watch(t, one), s.watch(t, two)
	w1.has(s.instance(one, 1))
	w2.has(s.instance(two, 2))
	s.deregister(t, gone)
	w1.has()
	h.set(discovery.Critical) // the other is still looked after
	w2.has()
	h.set(discovery.Passing)
	w2.has(s.instance(two, 2))
}

func deregisterBounded(t *testing.T, s *suite) {
	reg := s.register(t, s.instance(s.name("pricing"), 1), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = reg.Deregister(ctx) // may or may not get through
	}()
	s.within(t, done, "Deregister with an ended context returns")
}

func quickCycles(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	for range 50 {
		s.deregister(t, s.register(t, s.instance(service, 1), nil))
	}
	b := s.instance(service, 2)
	s.register(t, b, nil)
	w.has(b)
}

func manyAtOnce(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	watchers := map[*watcher]discovery.Instance{}
	for n := range 5 {
		service := s.name(fmt.Sprint("s", n))
		stays := s.instance(service, 0)
		watchers[s.watch(t, service)] = stays
		s.register(t, stays, nil)
		goes := s.register(t, s.instance(service, 1), nil)
		wg.Go(func() { s.deregister(t, goes) })
	}
	wg.Wait()
	for w, stays := range watchers {
		w.has(stays)
	}
}

func badInstances(t *testing.T, s *suite) {
	register := func(in discovery.Instance) error {
		ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
		defer cancel()
		reg, err := s.Backend.Register(ctx, in, nil)
		if err == nil {
			_ = reg.Deregister(ctx)
		}
		return err
	}
	for _, name := range badNames {
		in := s.instance(s.name("x"), 1)
		in.Service = name
		if err := register(in); !errors.Is(err, discovery.ErrBadName) {
			t.Errorf("Register service %q: %v, want ErrBadName", name, err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:0", ":80", "0.0.0.0:80", "[::]:80", "a b:80", "127.0.0.1:" + strings.Repeat("1", 9)} {
		in := s.instance(s.name("x"), 1)
		in.Addr = addr
		if register(in) == nil {
			t.Errorf("Register address %q: no error", addr)
		}
	}
	in := s.instance(s.name("x"), 1)
	in.ID = ""
	if register(in) == nil {
		t.Error("Register without an ID: no error")
	}
	s.watch(t, s.name("x")).has()
}
