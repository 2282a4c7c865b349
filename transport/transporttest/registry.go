package transporttest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
)

// registryHost is the name of the host of the registry in faults of links.
const registryHost = "registry"

// ErrRegistryDown is the error of a registry that cannot be reached.
var ErrRegistryDown = errors.New("transporttest: the registry cannot be reached")

// registry knows the instances of a network.
type registry struct {
	net  *Network
	host *Host // for faults of links to it; runs nothing

	mu      sync.Mutex
	entries map[string]*entry // by key
	changed chan struct{}     // closed at the next change
	frozen  map[*activeFault]map[string][]discovery.Instance
	running bool
}

// entry is one registered instance.
type entry struct {
	discovery.Instance
	process *Process
	status  discovery.StatusFunc
	last    discovery.Status
	seen    time.Time // when its process was last heard
	missing bool      // not heard for the time to live
	left    bool      // deregistered
	silent  bool      // nobody speaks for it any more
}

func newRegistry(n *Network) *registry {
	return &registry{
		net: n, host: &Host{net: n, name: registryHost},
		entries: map[string]*entry{}, changed: make(chan struct{}), frozen: map[*activeFault]map[string][]discovery.Instance{},
	}
}

// touch tells those who watch that the list, or what faults make of it, may
// have changed.
func (r *registry) touch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touchLocked()
}

func (r *registry) touchLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// reachable returns why p cannot talk to the registry about service, or nil.
func (r *registry) reachable(p *Process, service string) error {
	if err := p.gone(); err != nil {
		return err
	}
	if p.host.frozen() != nil || r.fault(RegistryOutage, service) != nil {
		return ErrRegistryDown
	}
	for _, a := range *r.net.faults.Load() {
		if (a.Kind == Partition || a.Kind == BlackHole) && (a.hits(p.host, r.host) || a.hits(r.host, p.host)) {
			return ErrRegistryDown
		}
	}
	return nil
}

// fault returns the fault of this kind that falls upon the registry as far as
// service is concerned, or nil.
func (r *registry) fault(kind Kind, service string) *activeFault {
	for _, a := range *r.net.faults.Load() {
		if a.Kind == kind && (a.On == Everyone || a.On == service) {
			return a
		}
	}
	return nil
}

// list is what the registry says of a service, faults included.
func (r *registry) list(service string) []discovery.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.lists(service)[service]
	if list == nil {
		list = []discovery.Instance{}
	}
	return discovery.CloneList(r.distort(service, list))
}

// lists are the true ones of a service, or of everyone who has instances. The
// lock must be held.
func (r *registry) lists(service string) map[string][]discovery.Instance {
	lists := map[string][]discovery.Instance{}
	for _, e := range r.entries {
		if (service == Everyone || service == e.Service) && !e.missing && e.last != discovery.Critical {
			lists[e.Service] = append(lists[e.Service], e.Instance)
		}
	}
	for _, list := range lists {
		discovery.Sort(list)
	}
	return lists
}

// freeze keeps the lists as they are for a [RegistryStale] that begins.
func (r *registry) freeze(a *activeFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen[a] = r.lists(a.On)
}

// melt is the opposite of freeze.
func (r *registry) melt(a *activeFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.frozen, a)
	r.touchLocked()
}

// distort makes of a true list what the faults in force make of it.
func (r *registry) distort(service string, list []discovery.Instance) []discovery.Instance {
	if a := r.fault(RegistryStale, service); a != nil {
		list = append([]discovery.Instance{}, r.frozen[a][service]...)
	}
	if r.fault(RegistryHalf, service) != nil {
		half := list[:0:0]
		for i, in := range list {
			if i%2 == 0 {
				half = append(half, in)
			}
		}
		list = half
	}
	if r.fault(RegistryDuplicate, service) != nil {
		for _, in := range slices.Clone(list) {
			in.ID += "-again"
			list = append(list, in)
		}
		discovery.Sort(list)
	}
	if r.fault(RegistryEmpty, service) != nil {
		list = list[:0:0]
	}
	return list
}

// beat is how often the registry looks who is alive.
const beat = time.Second

// watchOver looks who is alive until the network ends. It runs while there are
// entries.
func (r *registry) watchOver() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-r.net.ctx.Done():
			return
		case <-tick.C:
			r.look()
		}
	}
}

// look notes whom the registry can hear and drops who has been silent for the
// time to live.
func (r *registry) look() {
	heard := r.hear()
	r.mu.Lock()
	defer r.mu.Unlock()
	now, change := time.Now(), false
	for key, e := range r.entries {
		if status, ok := heard[e]; ok {
			e.seen = now
			change = change || e.missing || status != e.last
			e.missing, e.last = false, status
			continue
		}
		if now.Sub(e.seen) >= r.net.cfg.ttl && !e.missing {
			e.missing, change = true, true
		}
		if e.missing && (e.silent || e.process.over()) {
			delete(r.entries, key) // a process does not come back under its ID
		}
	}
	if change {
		r.touchLocked()
	}
}

// hear returns what those say of themselves whom the registry can hear.
func (r *registry) hear() map[*entry]discovery.Status {
	heard := map[*entry]discovery.Status{}
	for _, e := range r.speaking() {
		if r.reachable(e.process, e.Service) == nil {
			heard[e] = e.ask() // without the lock: it may use the registry
		}
	}
	return heard
}

// speaking returns the entries for which somebody speaks.
func (r *registry) speaking() []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*entry
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		if e := r.entries[key]; !e.silent {
			all = append(all, e)
		}
	}
	return all
}

// key tells e from all other entries.
func (e *entry) key() string { return e.Service + " " + e.ID }

func (e *entry) ask() discovery.Status {
	if e.status == nil {
		return discovery.Passing
	}
	s, _ := e.status()
	return s
}

func (r *registry) add(e *entry) {
	status := e.ask()
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.left {
		return
	}
	e.seen, e.last = time.Now(), status
	r.entries[e.key()] = e
	if !r.running {
		r.running = true
		r.net.wg.Go(r.watchOver)
	}
	r.touchLocked()
}

// silence notes that e is no longer spoken for; it is listed until its time to
// live is over.
func (r *registry) silence(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.silent = true
}

func (r *registry) remove(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.left = true
	if r.entries[e.key()] == e {
		delete(r.entries, e.key())
		r.touchLocked()
	}
}

// backend is the registry as one process reaches it.
type backend struct {
	process *Process
	ctx     context.Context // ends with Close, or with the process
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	name    uint64
}

func newBackend(p *Process) *backend {
	b := &backend{process: p, name: p.Rand().Uint64()}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	p.OnStop(func() { _ = b.Close() }) // returns nil always
	return b
}

// Close ends every watch and registration begun through b.
func (b *backend) Close() error {
	b.cancel()
	b.wg.Wait()
	return nil
}

// Register announces in. While the registry cannot be reached it tries again
// each second.
func (b *backend) Register(_ context.Context, in discovery.Instance, status discovery.StatusFunc) (discovery.Registration, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if b.ctx.Err() != nil {
		return nil, discovery.ErrClosed
	}
	r := &registration{backend: b, entry: &entry{Instance: in.Clone(), process: b.process, status: status}, left: make(chan struct{})}
	b.wg.Go(r.keep)
	return r, nil
}

// registration keeps one entry in the registry.
type registration struct {
	backend *backend
	entry   *entry
	once    sync.Once
	left    chan struct{} // closed by Deregister

	mu  sync.Mutex
	err error
}

// keep announces the entry as soon as the registry can be reached and passes
// changes of its status on.
func (r *registration) keep() {
	reg := r.backend.process.host.net.registry
	defer reg.silence(r.entry)
	for announced := false; ; {
		if err := reg.reachable(r.backend.process, r.entry.Service); !announced {
			r.set(err)
			if announced = err == nil; announced {
				reg.add(r.entry)
			}
		} else if err == nil {
			reg.look()
		}
		var changed <-chan struct{}
		if r.entry.status != nil {
			_, changed = r.entry.status()
		}
		again := time.NewTimer(beat)
		if announced {
			again.Stop()
		}
		select {
		case <-r.left:
			again.Stop()
			return
		case <-r.backend.ctx.Done():
			again.Stop()
			return
		case <-changed:
			again.Stop()
		case <-again.C:
		}
	}
}

func (r *registration) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Deregister takes the instance out. It tries until ctx ends if the registry
// cannot be reached.
func (r *registration) Deregister(ctx context.Context) error {
	again := true
	r.once.Do(func() { again = false; close(r.left) })
	if again {
		return nil
	}
	process := r.backend.process
	reg := process.host.net.registry
	for {
		err := reg.reachable(process, r.entry.Service)
		if err == nil {
			reg.remove(r.entry)
			return nil
		}
		if process.over() || process.sleep(ctx, beat) != nil {
			return fmt.Errorf("transporttest: deregister %q: %w", r.entry.ID, err)
		}
	}
}

// Watch yields the instances of service as the registry tells them.
func (b *backend) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		if err := discovery.ValidateName(service); err != nil {
			yield(nil, err)
			return
		}
		if b.ctx.Err() != nil {
			yield(nil, discovery.ErrClosed)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(b.ctx, cancel)()
		w := watch{backend: b, service: service, name: random.Hash(b.name, service)}
		w.run(ctx, yield)
	}
}

// watch is one watch of one service.
type watch struct {
	backend *backend
	service string
	name    uint64
	reads   uint64
	known   bool
	last    []discovery.Instance
}

func (w *watch) run(ctx context.Context, yield func([]discovery.Instance, error) bool) {
	reg := w.backend.process.host.net.registry
	for {
		reg.mu.Lock()
		changed := reg.changed
		reg.mu.Unlock()
		if err := reg.reachable(w.backend.process, w.service); err != nil {
			w.known = false
			if !yield(nil, err) || !pauseFor(ctx, w.jitter(beat)) {
				return
			}
			continue
		}
		list := reg.list(w.service)
		if !w.known || !slices.EqualFunc(list, w.last, discovery.Instance.Equal) {
			w.known, w.last = true, discovery.CloneList(list)
			if !yield(list, nil) {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		if !pauseFor(ctx, w.delay()) {
			return
		}
	}
}

// delay is how long a change takes to this watch.
func (w *watch) delay() time.Duration {
	w.reads++
	return w.backend.process.host.net.cfg.delay.At(random.Unit(random.Hash(w.name, "delay", w.reads)))
}

// jitter spreads d so that no two watches act at one instant.
func (w *watch) jitter(d time.Duration) time.Duration {
	w.reads++
	return d + time.Duration(float64(d)*0.1*random.Unit(random.Hash(w.name, "jitter", w.reads)))
}

// pauseFor waits for d. It reports false if ctx ended before.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
