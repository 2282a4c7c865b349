package balance

import (
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance/subset"
)

// A Caller is the process that the balancer picks for.
type Caller struct {
	// Service is the one that it is a copy of; empty if it is of none.
	Service string
	// ID tells it from its peers. What it uses of a large service follows from
	// it, see [Subset]; a caller without one uses another part after each start.
	ID string
	// Zone is where it runs; empty if that is not known. See [Zones].
	Zone string
}

// WithCaller says who calls. Default a Caller of which nothing is known.
func WithCaller(c Caller) Option {
	return optionFunc(func(b *Balancer) {
		b.caller = c
		b.peers.Place = c.unplaced()
	})
}

// unplaced is c as long as its place is not known.
func (c Caller) unplaced() subset.Client { return subset.Client{Group: c.Service, ID: c.ID} }

// Peers is what a caller knows of the other copies of its own service.
type Peers struct {
	// Place is the caller's own among them. The zero Client stands for a place
	// that is not known.
	Place subset.Client
	// Zones counts them by zone, the caller included.
	Zones map[string]int
}

// PeersOf returns what list, the instances of c's service as discovery reports
// them, says of c's peers.
func PeersOf(c Caller, list []discovery.Instance) Peers {
	p := Peers{Zones: map[string]int{}}
	ids := make([]string, 0, len(list))
	for i := range list {
		if list[i].Weight >= 0 {
			p.Zones[list[i].Zone]++
		}
		ids = append(ids, list[i].ID)
	}
	p.Place = subset.Among(c.Service, c.ID, ids)
	return p
}

// SetPeers says who else calls. Zone-aware routing and subsets are right for
// the fleet as a whole only if callers know of each other; see [Zones] and
// [Subset]. A place that changes moves connections: see [subset.Steady]. What is
// learnt about endpoints stays.
func (b *Balancer) SetPeers(p Peers) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	if p.Place == (subset.Client{}) {
		p.Place = b.caller.unplaced()
	}
	b.peers = p
	b.rebuild(b.now())
}

// WantsPeers reports whether it matters at present who the caller's peers are:
// there are enough endpoints for subsets, or more than one zone.
func (b *Balancer) WantsPeers() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := &b.policy.Subset; !p.Disabled && len(b.list) >= p.MinEndpoints && !b.policy.hashes() {
		return true
	}
	if b.caller.Zone == "" || b.policy.Zones.Disabled || len(b.list) < b.policy.Zones.MinEndpoints {
		return false
	}
	for i := range b.list {
		if b.list[i].Zone != b.list[0].Zone {
			return true
		}
	}
	return false
}
