package balance

import (
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
	prober   func(*Endpoint) // nil: nobody
	custom   []custom        // policies
	epoch    time.Time

	view  atomic.Pointer[view]
	timed atomic.Int64 // until then rests, slow starts or failure rates matter; 0: no more
	due   atomic.Int64 // when the next call is to be risked on one left out; 0: none is
	ends  atomic.Int64 // when the calls counted since the interval began are compared; 0: none has begun

	mu         sync.Mutex
	policy     Policy
	caller     Caller
	peers      Peers
	drawn      string               // stands for the caller's ID, if it has none
	list       []discovery.Instance // the last one
	all        []*Endpoint          // those of list that are used, in its order
	byKey      map[string]*Endpoint
	generation uint64               // counts how often all was made
	byName     map[uint64]*Endpoint // all, by their names, if sessions are sticky
	named      uint64               // the generation of byName
	filled     bool                 // there has been a list that was not empty
	remembered map[string]*Endpoint // that have left lately
	narrowed   map[string]*narrowed // by class
	kept       map[string]*kept     // of the sets of the view, by their keys
	nextKept   map[string]*kept     // of the view that is being made

	events     []func()
	delivering bool

	shadowOut       map[*Endpoint]int64 // until when they would be left out; see ejectShadow
	shadowEjections atomic.Uint64

	usual  usual
	recent recent
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
// wrong with p and with the options.
func New(p Policy, opts ...Option) (*Balancer, error) {
	b := &Balancer{
		policy: p.WithDefaults().clone(), epoch: time.Now(),
		byKey: map[string]*Endpoint{}, remembered: map[string]*Endpoint{},
	}
	for _, o := range opts {
		o.apply(b)
	}
	if b.rand == nil {
		b.rand = random.Runtime
	}
	if err := errors.Join(b.buildCustom(), p.validate(b.names())); err != nil {
		return nil, err
	}
	b.view.Store(b.newView())
	return b, nil
}

// now returns the nanoseconds since the balancer began, never 0.
func (b *Balancer) now() int64 { return int64(time.Since(b.epoch)) + 1 }

// at is now, unless the caller has read the clock.
func (b *Balancer) at(t time.Time) int64 {
	if t.IsZero() {
		return b.now()
	}
	return int64(t.Sub(b.epoch)) + 1
}

// Pick is [Balancer.PickFor] for a call of which nothing is known but where it
// was sent before.
func (b *Balancer) Pick(tried []*Endpoint) (*Endpoint, error) {
	return b.PickFor(&Call{Tried: tried})
}

// PickFor chooses the endpoint of one attempt and counts it as in flight there
// until [Endpoint.Done]. It returns none of c.Tried while there is another
// candidate, even if that one rests. Endpoints that are left out are no
// candidates. The error is [ErrNoInstances].
func (b *Balancer) PickFor(c *Call) (*Endpoint, error) {
	v := b.view.Load()
	g := v.base
	if v.splits != nil {
		g = v.group(b, c)
	}
	if c.Explain != nil {
		*c.Explain = Explanation{}
	}
	if len(v.base.set.active) == 0 {
		if c.Explain != nil {
			b.explain(c, v, g, b.now(), nil)
		}
		return nil, ErrNoInstances
	}
	now := b.clock(v, c.Now)
	var e *Endpoint
	if v.names != nil {
		e = v.session(b, c)
	}
	if e == nil {
		if e = b.risk(v, g, c.Tried); e != nil && c.Explain != nil {
			c.Explain.Reason = ByProbe
		}
	}
	if e == nil {
		e = b.choose(v, g, now, c)
	}
	if c.Explain != nil {
		b.explain(c, v, g, b.now(), e)
	}
	if n := e.inflight.begin(); now != 0 && n == e.answered.Load()+1 {
		e.busySince.Store(now) // it is the first to wait
	}
	return e, nil
}

// choose picks from the part of g that the call should stay in, or else from
// all of it, or else from whatever there is: an untried endpoint is worth more
// than the right zone or version.
func (b *Balancer) choose(v *view, g *group, now int64, c *Call) *Endpoint {
	hash := uint64(0)
	if v.hashes {
		hash = v.policy.Hash.of(c)
	}
	home := v.home(g)
	at := home.local(b, hash)
	e, fit := at.choose(now, hash, c)
	if home != g && c.Explain != nil {
		c.Explain.Reason = ByFailOver
	}
	if fit == fitWell || at == v.base.set {
		return e
	}
	for _, wider := range []*set{home.set, v.base.set} {
		if wider == at {
			continue
		}
		before := c.Explain.choice()
		if e2, fit2 := wider.choose(now, hash, c); fit2 > fit {
			e, fit = e2, fit2
			before = choice{wider, ByFailOver}
		}
		c.Explain.decide(before)
	}
	return e
}

// choose picks an endpoint of s, and tells how well it fits.
func (s *set) choose(now int64, hash uint64, call *Call) (*Endpoint, int) {
	c := newCandidates(s, now, call.Tried)
	c.hash = hash
	if x := call.Explain; x != nil {
		c.explain, x.at, x.Reason = x, s, ByPolicy
	}
	var i int
	if _, ok := s.picker.(peakEWMA); ok {
		if i = (peakEWMA{}).pick(&c); i >= 0 && len(call.Tried) <= len(c.tried) {
			return s.active[i], fitWell // it takes no other
		}
	} else {
		i = s.picker.Pick(c)
	}
	if i >= 0 && i < len(s.active) {
		e := s.active[i]
		if len(call.Tried) == 0 && now == 0 {
			return e, fitWell
		}
		if fit := c.fit(e, call.Tried); fit == fitWell {
			return e, fit
		}
	}
	if call.Explain != nil {
		call.Explain.Reason = BySearch
	}
	return c.search(call.Tried)
}

// clock returns the time if anything depends on it, else 0: reading it costs as
// much as the rest of a pick.
func (b *Balancer) clock(v *view, t time.Time) int64 {
	if v.byTime {
		return b.at(t)
	}
	until := b.timed.Load()
	if until == 0 {
		return 0
	}
	now := b.at(t)
	if now <= until {
		return now
	}
	b.timed.CompareAndSwap(until, 0)
	return 0
}

// SetPolicy changes the policy from the next pick on. What was learnt about
// endpoints stays. The error joins everything that is wrong with p, and then
// nothing changes.
func (b *Balancer) SetPolicy(p Policy) error {
	if err := p.validate(b.names()); err != nil {
		return err
	}
	p = p.WithDefaults().clone()
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	if p.Ejection != b.policy.Ejection {
		b.ends.Store(0) // what was counted by the old rules is no sample of the new
	}
	if p.Name != b.policy.Name || p.Ejection.LatencyFactor != b.policy.Ejection.LatencyFactor {
		for _, e := range b.all {
			e.busySince.Store(0) // from when the time was last looked at
		}
	}
	b.policy = p
	now := b.now()
	if p.Ejection.Disabled || p.Ejection.Shadow {
		for _, e := range b.all {
			if State(e.state.Load()) == Ejected {
				b.bringBack(e, now)
			}
		}
	}
	b.rebuild(now)
	return nil
}

// Endpoints returns the endpoints in the order of the list, those that are
// draining by their weight included. The slice is shared: do not change it.
func (b *Balancer) Endpoints() []*Endpoint { return b.view.Load().all }

// Stats counts the endpoints by state.
func (b *Balancer) Stats() Stats { return b.view.Load().base.stats }

// jitter returns d plus up to part of it, at random.
func (b *Balancer) jitter(d time.Duration, part float64) time.Duration {
	return d + time.Duration(random.Float64(b.rand)*part*float64(d))
}
