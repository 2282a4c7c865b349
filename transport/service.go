package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// service is what a client keeps for one service over one scheme.
type service struct {
	client   *Client
	name     string
	host     string // the Host header: the name as it was called
	tls      bool
	plan     atomic.Pointer[plan]
	breaker  *breaker.Breaker
	balancer *balance.Balancer
	throttle *limit.Throttle
	bulkhead *limit.Bulkhead
	budget   *retry.Budget
	floor    retry.Floor
	hashKey  func(*http.Request) string // nil if calls have none of their own
	rand     rand.Source                // of backoffs and ages; breaker and balancer have their own
	conns    connSet
	prober   prober
	made     time.Time
	calm     atomic.Int64 // nanoseconds since made until which nothing is hedged: a server was busy
	shadows  shadows
	rescues  atomic.Int64 // fallbacks under way
	lastGood lastGood

	listMu sync.Mutex
	list   []discovery.Instance // of the registry

	resolved  atomic.Bool   // a list has been known at least once
	ready     chan struct{} // closed when resolved
	readyOnce sync.Once

	used      atomic.Bool
	idleTicks int                     // of Client.sweep alone
	sub       *discovery.Subscription // nil for an address outside
	ctx       context.Context         // ends with close
	cancel    context.CancelFunc
	done      chan struct{} // closed when follow has ended
	stop      func()        // tells the observer; set by apply, read once follow is done
}

func newService(c *Client, key serviceKey) (*service, error) {
	s := &service{
		client: c, name: key.host, host: key.host, tls: key.tls,
		rand: c.randFor(key, "transport"), hashKey: c.cfg.hashKeys[key.host],
		ready: make(chan struct{}), done: make(chan struct{}), made: time.Now(),
	}
	outside := external(key.host)
	if !outside {
		if err := discovery.ValidateName(key.host); err != nil {
			return nil, err
		}
	}
	policy := c.PolicyFor(key.host)
	p, err := newPlan(policy, nil)
	if err != nil {
		return nil, err
	}
	s.plan.Store(p)
	var err1, err2, err3, err4 error
	s.breaker, err1 = breaker.New(s.name, breaker.WithSettings(policy.Breaker), breaker.WithClassifier(classify),
		breaker.WithRand(c.randFor(key, "breaker")))
	s.prober.init(s)
	opts := []balance.Option{
		balance.WithRand(c.randFor(key, "balance")), balance.WithCaller(c.cfg.caller),
		balance.WithObserver(balance.Observer{Departed: s.conns.drop}),
	}
	if !outside { // servers of others are asked for what they are there for
		opts = append(opts, balance.WithProber(s.prober.ask))
	}
	for name, f := range c.cfg.pickers {
		opts = append(opts, balance.WithPicker(name, f))
	}
	s.balancer, err2 = balance.New(policy.Balance, opts...)
	s.budget, err3 = retry.NewBudget(policy.Retry.Budget)
	s.throttle, err4 = limit.NewThrottle(policy.Throttle)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	c.introduce(s.balancer)
	s.bulkhead = limit.NewBulkhead(0)
	s.bulkhead.Update(policy.Limit)
	s.conns.init(s)
	if !outside {
		var err error
		if s.sub, err = c.dir.Subscribe(s.name); err != nil {
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	s.used.Store(true)
	return s, nil
}

// randFor returns the source for one use in one service.
func (c *Client) randFor(key serviceKey, use string) rand.Source {
	if c.cfg.rand == nil {
		return random.Runtime
	}
	scheme := uint64(0)
	if key.tls {
		scheme = 1
	}
	return random.New(random.Hash(random.Hash(c.cfg.seed, key.host, scheme), use))
}

// begin makes the service callable: it begins to follow the registry. A
// service that has a local endpoint, and an address outside, can be called at
// once. It runs once, without the client's lock, because it calls the
// observer; ended is called when following is over.
func (s *service) begin(key serviceKey, ended func()) {
	if s.sub == nil {
		s.apply([]discovery.Instance{{ID: s.name, Service: s.name, Addr: withPort(key), Weight: 1}})
		close(s.done)
		ended()
		return
	}
	if l := s.client.cfg.locals[s.name]; l != nil && l.weight.Load() >= 0 {
		s.apply(nil)
	}
	go func() {
		defer ended()
		defer close(s.done)
		defer s.sub.Close()
		s.follow()
	}()
}

// withPort returns the host and port that an address in a URL stands for.
func withPort(key serviceKey) string {
	if _, _, err := net.SplitHostPort(key.host); err == nil {
		return key.host
	}
	host := key.host
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	if key.tls {
		return net.JoinHostPort(host, "443")
	}
	return net.JoinHostPort(host, "80")
}

func (s *service) state() ServiceState {
	return ServiceState{
		Name: s.name, Breaker: s.breaker, Balancer: s.balancer, Throttle: s.throttle, Bulkhead: s.bulkhead, Budget: s.budget,
		plan: &s.plan,
	}
}

func (s *service) follow() {
	var version uint64
	first := true
	for {
		changed := s.sub.Changed() // before Current, so that no change is missed
		if snap := s.sub.Current(); snap != nil {
			if first || snap.Version != version {
				first, version = false, snap.Version
				s.apply(snap.Instances)
			}
		}
		select {
		case <-s.ctx.Done():
			return
		case <-changed:
		}
	}
}

// apply makes list, and the local endpoint if there is one, the endpoints that
// calls may go to.
func (s *service) apply(list []discovery.Instance) {
	s.listMu.Lock()
	renewed := brings(s.list, list)
	s.list = list
	known := s.update()
	s.listMu.Unlock()
	if renewed && s.breaker.State() == breaker.Open {
		s.breaker.ProbeSoon()
	}
	s.client.watchPeers(s.balancer)
	if known && !s.resolved.Swap(true) && s.client.observer != nil {
		s.stop = s.client.observer.StartService(s.state())
	}
	s.readyOnce.Do(func() { close(s.ready) })
}

// brings reports whether list has an instance that old has not, or that has
// moved.
func brings(old, list []discovery.Instance) bool {
	addrs := make(map[string]string, len(old))
	for i := range old {
		addrs[old[i].ID] = old[i].Addr
	}
	return slices.ContainsFunc(list, func(in discovery.Instance) bool { return addrs[in.ID] != in.Addr })
}

// refresh is apply when it is not the registry's list that has changed.
func (s *service) refresh() {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	s.update()
}

// update gives the balancer its list and reports whether there is anybody in
// it. The lock must be held.
func (s *service) update() bool {
	list := s.list
	if l := s.client.cfg.locals[s.name]; l != nil {
		list = append([]discovery.Instance{l.instance(s.name)}, list...)
	}
	s.balancer.Update(list)
	return len(list) > 0
}

// awaitFirst waits until the registry has answered once.
func (s *service) awaitFirst(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	if s.sub != nil {
		if _, err := s.sub.Wait(ctx); err != nil {
			return fmt.Errorf("%w: the registry has not answered: %w", ErrNoInstances, err)
		}
	}
	select {
	case <-s.ready: // follow has applied the list too
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNoInstances, context.Cause(ctx))
	}
}

func (s *service) closeIdle() { s.conns.closeIdle() }

func (s *service) close() {
	s.cancel()
	<-s.done
	s.prober.stop()
	s.shadows.close()
	s.conns.close()
	if s.stop != nil {
		s.stop()
	}
}
