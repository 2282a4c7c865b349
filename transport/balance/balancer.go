package balance

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
)

// ErrNoInstances: there is no endpoint that may get a call: the list is empty,
// or all of it is draining.
var ErrNoInstances = errors.New("balance: no instances")

// A Balancer spreads calls over the endpoints of one service. All methods are
// safe for concurrent use. It starts no goroutine and needs no closing.
type Balancer struct {
	observer Observer
	rand     rand.Source
	epoch    time.Time

	view  atomic.Pointer[view]
	timed atomic.Int64 // until then rests, slow starts or failure rates matter; 0: no more
	due   atomic.Int64 // when the next call is to be risked on one left out; 0: none is

	mu     sync.Mutex
	policy Policy
	picker Picker
	byKey  map[string]*Endpoint
	all    []*Endpoint
	filled bool // there has been a list that was not empty

	events     []func()
	delivering bool
}

// Stats counts the endpoints by state.
type Stats struct {
	Available, Ejected, Unreachable, Draining int
	// Panic: so few are available that ejected ones are used like the others.
	Panic bool
}

// An Option changes how a Balancer is built.
type Option interface{ apply(*Balancer) }

type optionFunc func(*Balancer)

func (f optionFunc) apply(b *Balancer) { f(b) }

// WithObserver sets who is told what happens. Default nobody.
func WithObserver(o Observer) Option {
	return optionFunc(func(b *Balancer) { b.observer = o })
}

// WithRand sets where chance comes from: whatever is drawn and every jitter.
// With a seeded source and the same picks and outcomes at the same times a
// balancer decides the same. src must be safe for concurrent use. The default,
// and nil, is the runtime's generator.
func WithRand(src rand.Source) Option {
	return optionFunc(func(b *Balancer) { b.rand = src })
}

// New returns a Balancer without endpoints. The error joins everything that is
// wrong with p.
func New(p Policy, opts ...Option) (*Balancer, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	b := &Balancer{policy: p.WithDefaults(), byKey: map[string]*Endpoint{}, epoch: time.Now()}
	for _, o := range opts {
		o.apply(b)
	}
	if b.rand == nil {
		b.rand = random.Runtime
	}
	b.picker = newPicker(b.policy.Name, b.rand)
	b.view.Store(b.newView(0))
	return b, nil
}

// now returns the nanoseconds since the balancer began, never 0.
func (b *Balancer) now() int64 { return int64(time.Since(b.epoch)) + 1 }

// Pick chooses the endpoint of one attempt and counts it as in flight there
// until [Endpoint.Done]. It returns none of tried while there is another
// candidate, even if that one rests. Endpoints that are left out are no
// candidates. The error is [ErrNoInstances].
func (b *Balancer) Pick(tried []*Endpoint) (*Endpoint, error) {
	v := b.view.Load()
	if len(v.active) == 0 {
		return nil, ErrNoInstances
	}
	now := b.clock(v)
	e := b.risk(v, tried)
	if e == nil {
		e = choose(v, now, tried)
	}
	e.inflight.Add(1)
	if e.waiting.Add(1) == 1 && now != 0 {
		e.busySince.Store(now)
	}
	return e, nil
}

func choose(v *view, now int64, tried []*Endpoint) *Endpoint {
	c := newCandidates(v, now, tried)
	if i := v.picker.Pick(c); i >= 0 {
		e := v.active[i]
		if len(tried) == 0 && c.now == 0 || c.fit(e, tried) == fitWell {
			return e
		}
	}
	return c.search(tried)
}

// clock returns the time if anything depends on it, else 0: reading it costs as
// much as the rest of a pick.
func (b *Balancer) clock(v *view) int64 {
	if v.byLatency {
		return b.now()
	}
	until := b.timed.Load()
	if until == 0 {
		return 0
	}
	now := b.now()
	if now <= until {
		return now
	}
	b.timed.CompareAndSwap(until, 0)
	return 0
}

// Update makes list the endpoints. An endpoint with an ID and address that were
// there before keeps everything that was learnt about it, and a list that says
// nothing new changes nothing. An ID at a new address is a process that has been
// restarted: a new Endpoint, which inherits only how often it was ejected. One
// that is gone gets no new calls; those in flight there go on. Of instances with
// the same ID the first counts; an empty ID stands for the address.
//
// Update keeps list, which must not be changed afterwards.
func (b *Balancer) Update(list []discovery.Instance) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	now := b.now()
	old := b.all
	b.all, b.byKey = b.merge(list, now)
	for _, e := range old {
		if b.byKey[e.key()] != e {
			e.drained.Store(true)
			b.tell(b.observer.Departed, e)
		}
	}
	b.filled = b.filled || len(b.all) > 0
	b.refresh(now)
}

// merge finds or makes the endpoints of list.
func (b *Balancer) merge(list []discovery.Instance, now int64) ([]*Endpoint, map[string]*Endpoint) {
	all := make([]*Endpoint, 0, len(list))
	byKey := make(map[string]*Endpoint, len(list))
	for i := range list {
		in := &list[i]
		key := cmp.Or(in.ID, in.Addr)
		if byKey[key] != nil {
			continue
		}
		e := b.byKey[key]
		if e == nil || e.Addr() != in.Addr {
			e = b.arrive(in, e, now)
		}
		e.instance.Store(in)
		e.drained.Store(in.Weight < 0)
		byKey[key] = e
		all = append(all, e)
	}
	return all, byKey
}

// arrive makes the endpoint of an instance that was not there before, or was
// at another address. All of a first list start at once.
func (b *Balancer) arrive(in *discovery.Instance, before *Endpoint, now int64) *Endpoint {
	e := &Endpoint{balancer: b}
	e.instance.Store(in)
	if before != nil {
		e.ejections, e.returned = before.ejections, now
	}
	if b.filled {
		b.startSlowly(e, now)
	}
	b.tell(b.observer.Joined, e)
	return e
}

// SetPolicy changes the policy from the next pick on. What was learnt about
// endpoints stays. The error joins everything that is wrong with p, and then
// nothing changes.
func (b *Balancer) SetPolicy(p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	p = p.WithDefaults()
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	if p.Name != b.policy.Name {
		b.picker = newPicker(p.Name, b.rand)
		for _, e := range b.all {
			e.busySince.Store(0) // from when the time was last looked at
		}
	}
	b.policy = p
	now := b.now()
	if p.Ejection.Disabled {
		for _, e := range b.all {
			if State(e.state.Load()) == Ejected {
				b.bringBack(e, now)
			}
		}
	}
	b.refresh(now)
	return nil
}

// Endpoints returns the endpoints in the order of the list, those that are
// draining by their weight included. The slice is shared: do not change it.
func (b *Balancer) Endpoints() []*Endpoint { return b.view.Load().all }

// Stats counts the endpoints by state.
func (b *Balancer) Stats() Stats { return b.view.Load().stats }

// jitter returns d plus up to part of it, at random.
func (b *Balancer) jitter(d time.Duration, part float64) time.Duration {
	return d + time.Duration(random.Float64(b.rand)*part*float64(d))
}
