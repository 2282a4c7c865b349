package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
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
	policy   Policy
	breaker  *breaker.Breaker
	balancer *balance.Balancer
	bulkhead *limit.Bulkhead
	budget   *retry.Budget
	conns    connSet

	resolved  atomic.Bool   // a list has been known at least once
	ready     chan struct{} // closed when resolved
	readyOnce sync.Once

	used      atomic.Bool
	idleTicks int // of Client.sweep alone
	cancel    context.CancelFunc
	done      chan struct{} // closed when follow has ended
	stop      func()        // tells the observer; set by apply, read once follow is done
}

func newService(c *Client, key serviceKey) (*service, error) {
	s := &service{
		client: c, name: key.host, host: key.host, tls: key.tls,
		policy: c.PolicyFor(key.host),
		ready:  make(chan struct{}), done: make(chan struct{}),
	}
	outside := external(key.host)
	if !outside {
		if err := discovery.ValidateName(key.host); err != nil {
			return nil, err
		}
	}
	var err1, err2, err3 error
	s.breaker, err1 = breaker.New(s.name, breaker.WithSettings(s.policy.Breaker), breaker.WithClassifier(classify))
	s.balancer, err2 = balance.New(s.policy.Balance)
	s.budget, err3 = retry.NewBudget(s.policy.Retry.Budget)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	s.bulkhead = limit.NewBulkhead(s.policy.Limit.Max())
	s.conns.init(s)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(c.ctx)
	if outside {
		close(s.done)
		s.apply([]discovery.Instance{{ID: key.host, Service: key.host, Addr: withPort(key), Weight: 1}})
	} else if err := s.watch(ctx); err != nil {
		s.cancel()
		return nil, err
	}
	s.used.Store(true)
	return s, nil
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
	return ServiceState{Name: s.name, Breaker: s.breaker, Balancer: s.balancer, Bulkhead: s.bulkhead, Budget: s.budget}
}

// watch begins to follow the registry. A service that has a local endpoint can
// be called at once.
func (s *service) watch(ctx context.Context) error {
	sub, err := s.client.dir.Subscribe(s.name)
	if err != nil {
		return err
	}
	if _, ok := s.client.cfg.locals[s.name]; ok {
		s.apply(nil)
	}
	s.client.wg.Go(func() {
		defer close(s.done)
		defer sub.Close()
		s.follow(ctx, sub)
	})
	return nil
}

func (s *service) follow(ctx context.Context, sub *discovery.Subscription) {
	var version uint64
	first := true
	for {
		changed := sub.Changed() // before Current, so that no change is missed
		if snap := sub.Current(); snap != nil {
			if first || snap.Version != version {
				first, version = false, snap.Version
				s.apply(snap.Instances)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// apply makes list, and the local endpoint if there is one, the endpoints that
// calls may go to.
func (s *service) apply(list []discovery.Instance) {
	if l, ok := s.client.cfg.locals[s.name]; ok {
		list = append([]discovery.Instance{l.instance(s.name)}, list...)
	}
	s.balancer.Update(list)
	s.conns.retain(s.balancer.Endpoints())
	if len(list) > 0 && !s.resolved.Swap(true) && s.client.observer != nil {
		s.stop = s.client.observer.StartService(s.state())
	}
	s.readyOnce.Do(func() { close(s.ready) })
}

// awaitFirst waits until the registry has answered once.
func (s *service) awaitFirst(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	sub, err := s.client.dir.Subscribe(s.name)
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := sub.Wait(ctx); err != nil {
		return fmt.Errorf("%w: the registry has not answered: %w", ErrNoInstances, err)
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
	s.conns.retain(nil)
	if s.stop != nil {
		s.stop()
	}
}
