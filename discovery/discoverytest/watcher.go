package discoverytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// A watcher runs one watch, keeps what it yields, and checks what holds for
// every yield.
type watcher struct {
	t       *testing.T
	suite   *suite
	service string
	cancel  context.CancelFunc
	ended   chan struct{}

	mu      sync.Mutex
	list    []discovery.Instance // the latest, nil before the first
	err     error                // the latest
	yields  int                  // how many lists
	changed chan struct{}        // closed at the next yield
}

// watch starts a watcher; it ends with the case at the latest.
func (s *suite) watch(t *testing.T, service string) *watcher {
	t.Helper()
	return s.watchScribbling(t, service, nil)
}

// watchScribbling is watch with a function that may ruin each list after a
// copy of it has been kept.
func (s *suite) watchScribbling(t *testing.T, service string, scribble func([]discovery.Instance)) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{
		t: t, suite: s, service: service, cancel: cancel,
		ended: make(chan struct{}), changed: make(chan struct{}),
	}
	go func() {
		defer close(w.ended)
		for list, err := range s.Reader.Watch(ctx, service) {
			w.keep(list, err)
			if scribble != nil && err == nil {
				scribble(list)
			}
		}
	}()
	t.Cleanup(w.stop)
	return w
}

// stop ends the watch and checks that it does end.
func (w *watcher) stop() {
	w.t.Helper()
	w.cancel()
	w.suite.within(w.t, w.ended, "watch of "+w.service+" ends with its context")
}

func (w *watcher) keep(list []discovery.Instance, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if list != nil {
			w.t.Errorf("%s: yielded %d instances together with %v", w.service, len(list), err)
		}
		w.err = err
	} else {
		w.check(list)
		w.list, w.err = discovery.CloneList(list), nil
		w.yields++
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// check tests what holds for every list. w.mu is held.
func (w *watcher) check(list []discovery.Instance) {
	if list == nil {
		w.t.Errorf("%s: yielded a nil list without an error", w.service)
	}
	if !slices.IsSortedFunc(list, byIDAndAddr) {
		w.t.Errorf("%s: not sorted: %v", w.service, ids(list))
	}
	for _, in := range list {
		if in.Service != w.service {
			w.t.Errorf("%s: yielded an instance of %q", w.service, in.Service)
		}
	}
	if w.yields > 0 && w.err == nil && slices.EqualFunc(w.list, list, discovery.Instance.Equal) {
		w.t.Errorf("%s: yielded %v twice running", w.service, ids(list))
	}
}

// until waits for a list that ok accepts and returns it.
func (w *watcher) until(what string, ok func([]discovery.Instance) bool) []discovery.Instance {
	w.t.Helper()
	timeout := time.NewTimer(w.suite.Patience)
	defer timeout.Stop()
	for {
		w.mu.Lock()
		list, err, changed := w.list, w.err, w.changed
		w.mu.Unlock()
		if list != nil && ok(list) {
			return list
		}
		select {
		case <-changed:
		case <-timeout.C:
			w.t.Fatalf("%s: no %s after %v; last list %v, last error %v", w.service, what, w.suite.Patience, ids(list), err)
		}
	}
}

// has waits for exactly these instances and returns the list.
func (w *watcher) has(want ...discovery.Instance) []discovery.Instance {
	w.t.Helper()
	return w.until("list "+ids(want), func(list []discovery.Instance) bool {
		return slices.EqualFunc(list, sorted(want), same)
	})
}

// count returns how many lists were yielded so far.
func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.yields
}

// same is Equal, but a backend may say 1 for the default weight.
func same(got, want discovery.Instance) bool {
	if want.Weight == 0 && got.Weight == 1 {
		got.Weight = 0
	}
	return got.Equal(want)
}

func sorted(list []discovery.Instance) []discovery.Instance {
	list = slices.Clone(list)
	discovery.Sort(list)
	return list
}

func byIDAndAddr(a, b discovery.Instance) int {
	if c := strings.Compare(a.ID, b.ID); c != 0 {
		return c
	}
	return strings.Compare(a.Addr, b.Addr)
}

func ids(list []discovery.Instance) string {
	out := make([]string, len(list))
	for i, in := range list {
		out[i] = in.ID
	}
	return "[" + strings.Join(out, " ") + "]"
}
