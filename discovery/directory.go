package discovery

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// Defaults of a Directory.
const (
	DefaultIdle       = 5 * time.Minute
	DefaultEmptyGrace = 30 * time.Second
)

// ErrVanished stands in [Snapshot.Err] while a registry that had instances of
// a service says, without an error, that there are none, and the grace of
// [WithEmptyGrace] is not over.
var ErrVanished = errors.New("discovery: all instances vanished at once, the last list stands for now")

// A Directory shares the lists of services among all users in a process: it
// watches each service once however many ask, from the first who asks until
// nobody has asked for a while. It keeps the last good list through failures
// of the registry. It is itself a [Resolver].
//
// All methods may be called at the same time. A Directory runs two goroutines
// for each service that it watches, one that reads the registry and one that
// keeps the list; both end with the watch.
type Directory struct {
	resolver Resolver
	idle     time.Duration
	grace    time.Duration
	observer DirectoryObserver

	ctx    context.Context // of all watches
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	watches map[string]*watch
	closed  bool
}

// A DirectoryObserver is told what a Directory learns. The calls for one
// service come one after the other, those for several services at the same
// time. They hold up the list of that service only, and must not call Close.
type DirectoryObserver interface {
	// Update is called when the list of service changed, or is good again.
	Update(service string, instances int)
	// Error is called for each failure of the registry and for [ErrVanished].
	Error(service string, err error)
	// Stop is called last, when service is watched no longer.
	Stop(service string)
}

// A DirectoryOption changes how a Directory works.
type DirectoryOption interface{ apply(*Directory) }

type directoryOption func(*Directory)

func (o directoryOption) apply(d *Directory) { o(d) }

// WithIdle sets how long a service is watched after its last user has gone.
// Zero stops at once. Default 5 min.
func WithIdle(d time.Duration) DirectoryOption {
	return directoryOption(func(dir *Directory) { dir.idle = max(0, d) })
}

// WithEmptyGrace sets how long the last list still stands when the registry
// says, without an error, that no instance is left of a service that had some.
// Zero believes the registry at once. Default 30 s.
//
// The grace is there because an empty answer is more often a registry that has
// lost its memory than a service that was switched off: Consul restarted
// empty, a node that was cut off from its peers. 30 s leaves every instance
// the time to register again. For a service that is really gone callers see
// refused connections in place of "no instances" for that long; a service with
// one instance is still called while that instance drains. Only the step to
// zero is doubted: a shorter list is believed, and so is an empty first one.
// When the registry fails within the grace, the list stands until it answers
// again, and a new grace begins then.
func WithEmptyGrace(d time.Duration) DirectoryOption {
	return directoryOption(func(dir *Directory) { dir.grace = max(0, d) })
}

// WithObserver tells o what the Directory learns. Default: nobody.
func WithObserver(o DirectoryObserver) DirectoryOption {
	return directoryOption(func(dir *Directory) {
		if o != nil {
			dir.observer = o
		}
	})
}

// NewDirectory returns a Directory on r. It watches nothing yet. Close it
// before r.
func NewDirectory(r Resolver, opts ...DirectoryOption) *Directory {
	d := &Directory{
		resolver: r,
		idle:     DefaultIdle,
		grace:    DefaultEmptyGrace,
		observer: noObserver{},
		watches:  map[string]*watch{},
	}
	for _, o := range opts {
		o.apply(d)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Subscribe asks for service and returns at once; [Subscription.Wait] waits
// for the first list. Close the subscription when service is needed no longer.
// The error matches [ErrBadName] or [ErrClosed].
func (d *Directory) Subscribe(service string) (*Subscription, error) {
	if err := ValidateName(service); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	w := d.watches[service]
	if w == nil {
		w = d.start(service)
		d.watches[service] = w
	}
	w.users++
	w.unused.Stop()
	return &Subscription{directory: d, watch: w}, nil
}

// Watch implements [Resolver] on the shared list: each loop gets copies of its
// own, and one that is slow gets only the latest.
func (d *Directory) Watch(ctx context.Context, service string) iter.Seq2[[]Instance, error] {
	return func(yield func([]Instance, error) bool) {
		s, err := d.Subscribe(service)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.Close()
		s.each(ctx, yield)
	}
}

// Snapshots returns what is known of every service that is watched at this
// moment, but for those whose first answer is still to come.
func (d *Directory) Snapshots() map[string]*Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]*Snapshot, len(d.watches))
	for service, w := range d.watches {
		if s := w.state.Load().snapshot; s != nil {
			all[service] = s
		}
	}
	return all
}

// Close ends every watch and waits for its goroutines. Subscriptions keep
// their last snapshot. The Resolver stays open: whoever opened it closes it. A
// second Close does nothing.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, w := range d.watches {
		w.unused.Stop()
	}
	clear(d.watches)
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	return nil
}

// start begins to watch service. d.mu is held.
func (d *Directory) start(service string) *watch {
	ctx, cancel := context.WithCancel(d.ctx)
	w := newWatch(service, d.grace, d.observer, cancel)
	w.unused = time.AfterFunc(d.idle, func() { d.stopUnused(w) })
	answers := make(chan answer)
	d.wg.Go(func() { read(ctx, d.resolver, service, answers) })
	d.wg.Go(func() { w.keep(ctx, answers) })
	return w
}

// leave gives up one use of w.
func (d *Directory) leave(w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.users--
	if w.users == 0 && !d.closed {
		w.unused.Reset(d.idle)
	}
}

// stopUnused ends w unless it has found a user again.
func (d *Directory) stopUnused(w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.users == 0 && d.watches[w.service] == w {
		delete(d.watches, w.service)
		w.cancel()
	}
}

type noObserver struct{}

func (noObserver) Update(string, int)  {}
func (noObserver) Error(string, error) {}
func (noObserver) Stop(string)         {}
