// Package feed holds the lists of services that a backend knows by itself and
// hands them to whoever watches.
package feed

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/gabion-go/gabion/discovery"
)

// A Feed is a set of lists with watchers. All methods may be called at the
// same time. It runs no goroutine.
type Feed struct {
	mu      sync.Mutex
	topics  map[string]*topic
	done    chan struct{} // closed by Close
	settled chan struct{} // closed by Settle
}

// A topic is one service that has instances or watchers.
type topic struct {
	list     []discovery.Instance // never changed, only replaced
	changed  chan struct{}        // closed when list is replaced
	watchers int
}

// New returns a Feed without services, not settled.
func New() *Feed {
	return &Feed{topics: map[string]*topic{}, done: make(chan struct{}), settled: make(chan struct{})}
}

// Settle says that a service without instances is known to have none. Until
// then Watch holds empty lists back. A second Settle does nothing.
func (f *Feed) Settle() { f.closeOnce(f.settled) }

// Close ends every watch. A second Close does nothing.
func (f *Feed) Close() { f.closeOnce(f.done) }

// Done returns a channel that is closed by Close.
func (f *Feed) Done() <-chan struct{} { return f.done }

func (f *Feed) closeOnce(c chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

// Set replaces the list of service with a copy of list and wakes those who
// watch it, if anything is different.
func (f *Feed) Set(service string, list []discovery.Instance) {
	list = discovery.CloneList(list)
	discovery.Sort(list)
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topic(service)
	if !slices.EqualFunc(t.list, list, discovery.Instance.Equal) {
		t.list = list
		close(t.changed)
		t.changed = make(chan struct{})
	}
	f.drop(service, t)
}

// Watch does what [discovery.Resolver] asks for.
func (f *Feed) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		if err := discovery.ValidateName(service); err != nil {
			yield(nil, err)
			return
		}
		t := f.enter(service)
		defer f.leave(service, t)
		f.follow(ctx, t, yield)
	}
}

// follow yields t's lists until ctx, the loop or the feed ends.
func (f *Feed) follow(ctx context.Context, t *topic, yield func([]discovery.Instance, error) bool) {
	var last []discovery.Instance
	settled := f.settled
	for !f.ended(ctx) {
		list, changed := f.read(t)
		known := settled == nil || len(list) > 0
		if known && (last == nil || !slices.EqualFunc(last, list, discovery.Instance.Equal)) {
			if !yield(discovery.CloneList(list), nil) {
				return
			}
			last, settled = list, nil
		}
		select {
		case <-settled:
			settled = nil
		case <-changed:
		case <-ctx.Done():
		case <-f.done:
		}
	}
}

func (f *Feed) ended(ctx context.Context) bool {
	select {
	case <-f.done:
		return true
	default:
		return ctx.Err() != nil
	}
}

// read returns t's list, never nil, and the channel that tells of the next.
func (f *Feed) read(t *topic) ([]discovery.Instance, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.list == nil {
		t.list = []discovery.Instance{}
	}
	return t.list, t.changed
}

func (f *Feed) enter(service string) *topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topic(service)
	t.watchers++
	return t
}

func (f *Feed) leave(service string, t *topic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.watchers--
	f.drop(service, t)
}

// topic returns the topic of service, made on demand. f.mu is held.
func (f *Feed) topic(service string) *topic {
	t := f.topics[service]
	if t == nil {
		t = &topic{changed: make(chan struct{})}
		f.topics[service] = t
	}
	return t
}

// drop forgets a topic that says nothing to nobody. f.mu is held.
func (f *Feed) drop(service string, t *topic) {
	if t.watchers == 0 && len(t.list) == 0 {
		delete(f.topics, service)
	}
}
