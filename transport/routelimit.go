package transport

import (
	"sync/atomic"

	"github.com/gabion-go/gabion/transport/limit"
)

// A RouteLimit is how a limit that a route has of its own is doing: see
// [Route.Limit].
type RouteLimit struct {
	// Route is the pattern.
	Route string
	// InFlight and Max are the calls under way and the most there may be.
	InFlight, Max int
	// Refused counts the calls that found no place, and Spared those that went on
	// all the same, because the limit only shadows. Both begin with the limit.
	Refused, Spared uint64
}

// RouteLimits returns the state of the limits that routes of the service have of
// their own, in the order of their patterns.
func (s ServiceState) RouteLimits() []RouteLimit {
	if s.plan == nil {
		return nil
	}
	n := s.plan.Load()
	var all []RouteLimit
	for _, pattern := range n.policy.patterns() {
		if b := n.routes[pattern].bulkhead; b != nil {
			all = append(all, RouteLimit{pattern, b.InFlight(), b.Max(), b.refused.Load(), b.spared.Load()})
		}
	}
	return all
}

// routeBulkhead is the bulkhead of a route. It goes on from one policy to the
// next.
type routeBulkhead struct {
	*limit.Bulkhead
	refused, spared atomic.Uint64
}
