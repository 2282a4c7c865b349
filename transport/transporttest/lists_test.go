package transporttest_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

// lists is what a watch of a registry has yielded.
type lists struct {
	mu     sync.Mutex
	last   []string // IDs
	err    error
	yields int
}

// watch watches a service until the test ends.
func watch(t *testing.T, r discovery.Resolver, service string) *lists {
	t.Helper()
	l := new(lists)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for list, err := range r.Watch(ctx, service) {
			l.keep(list, err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

func (l *lists) keep(list []discovery.Instance, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.yields++; err != nil {
		l.err = err
		return
	}
	l.last, l.err = []string{}, nil
	for _, in := range list {
		l.last = append(l.last, in.ID)
	}
}

// want fails the test unless the last list had these IDs, and no error came
// after it.
func (l *lists) want(t *testing.T, ids ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || !slices.Equal(l.last, ids) {
		t.Errorf("the registry says %v, %v; want %v", l.last, l.err, ids)
	}
}

func (l *lists) failing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
