package discovery

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// A watch is one service that a Directory follows.
type watch struct {
	service  string
	grace    time.Duration
	observer DirectoryObserver
	cancel   context.CancelFunc

	state atomic.Pointer[state] // written by keep only

	users  int         // guarded by Directory.mu
	unused *time.Timer // runs while users is zero; guarded by Directory.mu
}

// A state is what subscribers see; it is replaced, never changed.
type state struct {
	snapshot *Snapshot     // nil before the first answer
	err      error         // the registry's failure, also before the first answer
	changed  chan struct{} // closed when a later state is worth a look
	ended    bool          // no later state will come
}

// An answer is what a Resolver yields.
type answer struct {
	list []Instance
	err  error
}

func newWatch(service string, grace time.Duration, o DirectoryObserver, cancel context.CancelFunc) *watch {
	w := &watch{service: service, grace: grace, observer: o, cancel: cancel}
	w.state.Store(&state{changed: make(chan struct{})})
	return w
}

// read passes on what r yields and closes answers when ctx or r ends.
func read(ctx context.Context, r Resolver, service string, answers chan<- answer) {
	defer close(answers)
	for list, err := range r.Watch(ctx, service) {
		select {
		case answers <- answer{list, err}:
		case <-ctx.Done():
			return
		}
	}
}

// keep turns answers into states until there are no more.
func (w *watch) keep(ctx context.Context, answers <-chan answer) {
	defer w.end(ctx)
	var grace <-chan time.Time // nil but while an empty answer is doubted
	for {
		select {
		case a, ok := <-answers:
			switch {
			case !ok:
				return
			case a.err != nil:
				grace = nil
				w.failed(a.err)
			case len(a.list) == 0 && w.grace > 0 && w.hasInstances():
				if grace == nil {
					grace = time.After(w.grace)
					w.failed(ErrVanished)
				}
			default:
				grace = nil
				w.accept(a.list)
			}
		case <-grace:
			grace = nil
			w.accept(nil)
		}
	}
}

func (w *watch) hasInstances() bool {
	s := w.state.Load().snapshot
	return s != nil && len(s.Instances) > 0
}

// accept publishes list, which the watch owns from here on.
func (w *watch) accept(list []Instance) {
	if list == nil {
		list = []Instance{}
	}
	Sort(list)
	old := w.state.Load()
	s := old.snapshot.answered(list, time.Now())
	next := &state{snapshot: s, changed: old.changed}
	if old.snapshot != nil && old.err == nil && s.Version == old.snapshot.Version {
		w.state.Store(next) // a newer Updated is not worth waking anybody
		return
	}
	w.publish(next)
	w.observer.Update(w.service, len(s.Instances))
}

// failed publishes that the registry cannot be believed because of err.
func (w *watch) failed(err error) {
	w.publish(&state{snapshot: w.state.Load().snapshot.doubted(err, time.Now()), err: err})
	w.observer.Error(w.service, err)
}

// end publishes the last state, so that nobody waits any longer. A resolver
// that ends of its own accord has been closed; its last list stands.
func (w *watch) end(ctx context.Context) {
	old := w.state.Load()
	last := &state{snapshot: old.snapshot, err: old.err, ended: true}
	if ctx.Err() == nil {
		last.snapshot, last.err = old.snapshot.doubted(ErrClosed, time.Now()), ErrClosed
	}
	w.publish(last)
	w.observer.Stop(w.service)
}

// publish stores next and wakes those who wait for it.
func (w *watch) publish(next *state) {
	next.changed = make(chan struct{})
	close(w.state.Swap(next).changed)
}

// sameInstances reports whether two sorted lists say the same.
func sameInstances(a, b []Instance) bool {
	return slices.EqualFunc(a, b, Instance.Equal)
}
