package balance

import (
	"slices"

	"github.com/gabion-go/gabion/discovery"
)

// A Caller is the process that the balancer picks for.
type Caller struct {
	// ID tells it from its peers; its subset of a large service follows from
	// it. It should stay the same across restarts. Empty stands for one drawn
	// at random.
	ID string
	// Zone is where it runs; empty if that is not known. See [Zones].
	Zone string
}

// WithCaller says who calls. Default a Caller of which nothing is known.
func WithCaller(c Caller) Option {
	return optionFunc(func(b *Balancer) { b.caller = c })
}

// peers is what a balancer knows of the caller's own service.
type peers struct {
	zones          map[string]int // how many by zone
	ordinal, count int            // which of how many the caller is; 0 of 0 if not known
}

// SetPeers says which instances the caller's own service has, itself included,
// as discovery reports them. Zone-aware routing and subsets are right for the
// fleet as a whole only if the callers know of each other; see [Zones] and
// [Subset].
func (b *Balancer) SetPeers(list []discovery.Instance) {
	ids := make([]string, 0, len(list))
	p := peers{zones: map[string]int{}}
	for i := range list {
		if list[i].Weight >= 0 {
			p.zones[list[i].Zone]++
		}
		ids = append(ids, list[i].ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if at, ok := slices.BinarySearch(ids, b.caller.ID); ok {
		p.ordinal, p.count = at, len(ids)
	}
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	b.peers = p
	b.rebuild(b.now())
}
