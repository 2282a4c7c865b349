package discoverytest

import (
	"errors"
	"sync"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

// closeCases are about the end.
var closeCases = []testCase{
	{name: "a read-only backend says so", run: readOnly},
	{name: "Close ends everything", run: closeEnds},
	{name: "nothing works after Close", run: afterClose},
}

// closer returns a function that closes c once.
func closer(c chan struct{}) func() { return sync.OnceFunc(func() { close(c) }) }

func readOnly(t *testing.T, s *suite) {
	if s.Set == nil {
		t.Skip("the backend can register")
	}
	if _, err := s.Backend.Register(t.Context(), s.instance(s.name("x"), 1), nil); !errors.Is(err, discovery.ErrReadOnly) {
		t.Errorf("Register: %v, want ErrReadOnly", err)
	}
}

func closeEnds(t *testing.T, s *suite) {
	service := s.name("pricing")
	s.announce(t, s.instance(service, 1))
	watchers := []*watcher{s.watch(t, service), s.watch(t, service), s.watch(t, s.name("nobody"))}
	watchers[0].has(s.instance(service, 1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.close(t)
	}()
	s.within(t, done, "Close returns")
	for _, w := range watchers {
		s.within(t, w.ended, "a watch ends when its backend is closed")
	}
	s.close(t) // does nothing
}

func afterClose(t *testing.T, s *suite) {
	service := s.name("pricing")
	s.close(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for list, err := range s.Reader.Watch(t.Context(), service) {
			if err == nil {
				t.Errorf("Watch after Close yielded %v", ids(list))
			}
		}
	}()
	s.within(t, done, "a watch of a closed backend ends")
	if s.Set != nil {
		return
	}
	if _, err := s.Backend.Register(t.Context(), s.instance(service, 1), nil); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("Register after Close: %v, want ErrClosed", err)
	}
}
