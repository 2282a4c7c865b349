package transport

import (
	"maps"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/balance/subset"
)

// WithCaller says which process calls: its zone keeps calls in that zone, and
// its place among the instances of its own service says which part of a large
// service it uses; see balance.Zones and balance.Subset. The client watches
// the caller's own service from when that first matters until it is closed.
// Default a caller of which nothing is known.
func WithCaller(caller balance.Caller) ClientOption {
	return clientOption(func(c *clientConfig) { c.caller = caller })
}

// peerWatch follows the instances of the caller's own service, from the moment
// that a balancer has a use for them.
type peerWatch struct {
	once  sync.Once
	known *balance.Peers // guarded by Client.mu; nil if there is nothing known
}

// introduce gives a new balancer what is known of the caller's peers. The
// client's lock must be held, so that no change falls between this and the
// moment when followPeers sees the service.
func (c *Client) introduce(b *balance.Balancer) {
	if c.peers.known != nil {
		b.SetPeers(*c.peers.known)
	}
}

// watchPeers begins to follow the caller's peers if b wants to know them. It
// runs in goroutines that count in c.wg.
func (c *Client) watchPeers(b *balance.Balancer) {
	if c.cfg.caller.Service == "" || !b.WantsPeers() {
		return
	}
	c.peers.once.Do(func() {
		sub, err := c.dir.Subscribe(c.cfg.caller.Service)
		if err != nil {
			return // the directory is closed, or there can be no such service
		}
		c.wg.Go(func() {
			defer sub.Close()
			c.followPeers(sub)
		})
	})
}

// followPeers tells all balancers who the caller's peers are. A place is used
// once it has lasted: a deployment of the caller's service must not move its
// connections at each step.
func (c *Client) followPeers(sub *discovery.Subscription) {
	var steady subset.Steady
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := sub.Changed() // before Current, so that no change is missed
		if snap := sub.Current(); snap != nil {
			p := balance.PeersOf(c.cfg.caller, snap.Instances)
			var again time.Duration
			if p.Place, again = steady.Observe(time.Now(), p.Place); again > 0 {
				timer.Reset(again)
			}
			c.setPeers(p)
		}
		select {
		case <-c.ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

func (c *Client) setPeers(p balance.Peers) {
	c.mu.Lock()
	was := c.peers.known
	same := was != nil && was.Place == p.Place && maps.Equal(was.Zones, p.Zones)
	c.peers.known = &p
	services := *c.services.Load()
	c.mu.Unlock()
	if same {
		return
	}
	for _, s := range services {
		s.balancer.SetPeers(p)
	}
}
