package transport

import (
	"maps"
	"slices"

	"github.com/gabion-go/gabion/transport/retry"
)

// A HedgeState is how the hedging of a service, or of a route with settings of
// its own, is doing.
type HedgeState struct {
	// Route is the pattern; empty for the service.
	Route string
	// Known: enough has been measured. Delays are then in force.
	Known  bool
	Delays retry.Delays
}

// Hedging returns the state of what is hedged of the calls to service: the
// service's own first, then its routes'. It is nil if nothing is, or the service
// is not in use.
func (c *Client) Hedging(service string) []HedgeState {
	var all []HedgeState
	for key, s := range *c.services.Load() {
		if key.host != service || all != nil {
			continue
		}
		n := s.plan.Load()
		add := func(r *rules) {
			d, ok := r.hedger.Delays()
			all = append(all, HedgeState{Route: r.pattern, Known: ok, Delays: d})
		}
		if n.base.hedger != nil {
			add(n.base)
		}
		for _, pattern := range n.policy.patterns() {
			if r := n.routes[pattern]; r.hedger != nil && r.hedger != n.base.hedger {
				add(r)
			}
		}
	}
	return all
}

// FallbackFuncs returns the services that have a function of [WithFallback], an
// empty name standing for all.
func (c *Client) FallbackFuncs() []string {
	names := slices.Sorted(maps.Keys(c.cfg.fallbacks))
	if c.cfg.everything != nil {
		names = append([]string{""}, names...)
	}
	return names
}

// HasCache reports whether the client has a cache of [WithCache].
func (c *Client) HasCache() bool { return c.cfg.cache != nil }
