package doctor

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// call looks at the calls of s to one service.
func (c *checkup) call(s *Service, call Call) {
	p, e := s.policy(call.Service), edge{service: s.Name, callee: call.Service}
	if err := p.Validate(p.Balance.Name); err != nil { // a name of one's own is for the client to know
		c.add(e, Error, InvalidPolicy, "%v", err)
		return
	}
	c.guards(e, p.WithDefaults(), call.PerSecond)
	c.fallback(s, e, p)
	c.timing(e, p)
	for _, pattern := range slices.Sorted(maps.Keys(p.Routes)) {
		e.route = pattern
		c.route(s, e, p, p.Routes[pattern])
	}
}

// timing looks at what differs from route to route.
func (c *checkup) timing(e edge, p transport.Policy) {
	p = p.WithDefaults()
	if p.Retry.Attempts > 1 && p.AttemptTimeout >= p.Timeout {
		c.add(e, Warning, AttemptFillsTimeout,
			"one attempt may take %v, as long as the whole call, so one that is too slow is never retried; set attempt_timeout well below timeout, or attempts to 1", p.AttemptTimeout)
	}
	if p.Hedge.On && p.Hedge.MinDelay >= p.AttemptTimeout {
		c.add(e, Warning, HedgeTooLate,
			"a call is hedged after %v at the earliest, when its first attempt has ended at %v; set hedge.min_delay below attempt_timeout", p.Hedge.MinDelay, p.AttemptTimeout)
	}
	callee := c.byName[e.callee]
	if callee == nil {
		return
	}
	if w := callee.Server.WriteTimeout; w >= 0 {
		if w == 0 {
			w = 30 * time.Second
		}
		if w < p.Timeout {
			c.add(e, Error, WriteTimeout,
				"waits up to %v, but the server cuts a response off after %v; raise the server's WriteTimeout, or lower timeout", p.Timeout, w)
		}
	}
	for _, next := range callee.calls() {
		down := callee.policy(next.Service).WithDefaults()
		if p.AttemptTimeout < down.Timeout {
			c.add(e, Warning, InvertedTimeout,
				"an attempt ends after %v, but %s may take %v for its call to %s, whose result then comes to nobody; give the caller more time or that call less",
				p.AttemptTimeout, callee.Name, down.Timeout, next.Service)
		}
	}
}

// guards looks at what all calls to the service share; p has its defaults.
func (c *checkup) guards(e edge, p transport.Policy, perSecond float64) {
	b := p.Breaker
	if expected := perSecond * b.Window.Seconds(); b.Consecutive < 0 && perSecond > 0 && float64(b.MinCalls) > expected {
		c.add(e, Error, BreakerNeverOpens,
			"the breaker wants %d calls within %v, and there are about %.0f; lower min_calls, or let it count failures in a row", b.MinCalls, b.Window, expected)
	}
	if b.Lease < p.AttemptTimeout {
		c.add(e, Warning, BreakerNeverCloses,
			"a probe of the breaker counts as failed after %v, though an attempt may take %v; raise breaker.lease", b.Lease, p.AttemptTimeout)
	}
	if busy := perSecond * p.AttemptTimeout.Seconds() / 10; busy > float64(p.Limit.MaxInflight) {
		c.add(e, Warning, BulkheadTooSmall,
			"at %.0f calls/s, and a tenth of the time that an attempt may take, %.0f calls are in flight, but only %d may be; raise limit.max_inflight", perSecond, busy, p.Limit.MaxInflight)
	}
	for _, limit := range []struct {
		name   string
		shadow bool
	}{
		{"breaker", b.Shadow}, {"throttle", p.Throttle.On && p.Throttle.Shadow},
		{"limit", p.Limit.Shadow}, {"balance.ejection", p.Balance.Ejection.Shadow},
	} {
		if limit.shadow {
			c.add(e, Info, Shadowed, "%s only tells what it would do; take shadow away once its numbers are right", limit.name)
		}
	}
}

// fallback looks at what answers when the service does not.
func (c *checkup) fallback(s *Service, e edge, p transport.Policy) {
	switch {
	case p.Fallback.Service == e.callee && e.callee != "":
		c.add(e, Error, FallbackToItself, "what is to answer for %s is %s; name another service", e.callee, e.callee)
	case p.Fallback.IsZero() && !s.answersFor(e.callee):
		c.add(e, Info, MissingFallback,
			"nothing answers when %s does not; if its callers can do without, give them fallback.last_good, a value or a function", e.callee)
	}
}

// answersFor reports whether the program has a fallback for calls to service.
func (s *Service) answersFor(service string) bool {
	return slices.Contains(s.Fallbacks, "") || slices.Contains(s.Fallbacks, service)
}

// route looks at one route of the policy p.
func (c *checkup) route(s *Service, e edge, p transport.Policy, r transport.Route) {
	at := p.AtRoute(e.route)
	if r.Timeout != 0 || r.AttemptTimeout != 0 || r.Retry != nil || r.Hedge != nil {
		c.timing(e, at)
	}
	if method := methodOf(e.route); at.Hedge.On && writes(method, r.Idempotent) {
		c.add(e, Warning, HedgedWrite,
			"a %s that is late is sent a second time while the first is under way, so the server does it twice at once; turn hedge off for the route, or make sure that the server recognizes the second", method)
	}
	if most := p.WithDefaults().Limit.MaxInflight; r.Limit.MaxInflight > most {
		c.add(e, Warning, BulkheadWithoutEffect, "the route may have %d calls in flight, but the service only %d; lower the route's max_inflight", r.Limit.MaxInflight, most)
	}
	if r.Cache && !s.Cache {
		c.add(e, Error, NoCache, "the route is to be cached, but the client has no cache; give it one with WithCache")
	}
	if at.Fallback.Service == e.callee && r.Fallback != nil {
		c.add(e, Error, FallbackToItself, "what is to answer for %s is %s; name another service", e.callee, e.callee)
	}
	if m := methodOf(e.route); (m == "" || m == http.MethodGet) && r.Criticality != "" && at.Fallback.IsZero() && !s.answersFor(e.callee) {
		c.missingFor(e, limit.ParseCriticality(r.Criticality))
	}
}

// missingFor tells of a route without a fallback whose calls are either the first
// to be shed or too important to fail.
func (c *checkup) missingFor(e edge, rank limit.Criticality) {
	switch rank {
	case limit.Sheddable, limit.SheddablePlus:
		c.add(e, Warning, MissingFallback, "its calls are %v, so they are refused first, and nothing answers for them; give the route a fallback", rank)
	case limit.CriticalPlus:
		c.add(e, Warning, MissingFallback, "its calls are %v, and nothing answers when the service does not; give the route a fallback", rank)
	}
}

// methodOf returns the method of a route's pattern; empty if it is for all.
func methodOf(pattern string) string {
	method, _, found := strings.Cut(pattern, " ")
	if !found {
		return ""
	}
	return method
}

// writes reports whether calls with this method change something and can be
// hedged: others than these are not, unless they are declared to be idempotent.
func writes(method string, declared bool) bool {
	switch method {
	case http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost, http.MethodPatch:
		return declared
	default:
		return false
	}
}
