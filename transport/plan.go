package transport

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/collapse"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// A plan is a service's policy made ready for calls. It is never changed, but
// replaced: a call keeps to the plan that was in force when it began.
type plan struct {
	policy Policy // as it was set
	base   *rules // of calls that match no route
	mux    *http.ServeMux
	routes map[string]*rules // by pattern
}

// rules is what one call goes by: its service's policy and, on top of it, its
// route's.
type rules struct {
	pattern     string // empty for the service's own
	timeout     time.Duration
	usual       int64         // the milliseconds that a call mostly has left when it is sent
	usualText   string        // the same as text
	attempt     time.Duration // at most, for one
	bytes       int64         // of a response; 0 is no limit
	retry       retry.Policy
	idempotent  bool           // by declaration
	bulkhead    *routeBulkhead // nil if the route has none
	spare       bool           // it refuses nothing
	hedger      *retry.Hedger  // nil if nothing is hedged
	criticality limit.Criticality
	rated       bool // criticality is set
	fallback    Fallback
	coalesce    bool
	cache       bool
	collapse    *collapse.Settings // nil if lookups are not collapsed
	invalidates bool               // some route of the service has a cache
}

// newPlan makes p, which must be valid, ready for calls. What was measured and
// counted for before, which may be nil, goes on.
func newPlan(p Policy, before *plan) (*plan, error) {
	if before == nil {
		before = &plan{base: &rules{}}
	}
	n := &plan{policy: p, base: newRules("", Route{}, p), routes: map[string]*rules{}}
	if err := n.base.setHedge(p.Hedge, before.base.hedger); err != nil {
		return nil, err
	}
	if len(p.Routes) == 0 {
		return n, nil
	}
	caches := p.caches()
	n.base.invalidates = caches
	n.mux = http.NewServeMux()
	for _, pattern := range p.patterns() {
		route := p.Routes[pattern]
		r := newRules(pattern, route, route.over(p))
		r.invalidates = caches
		r.setBulkhead(route.Limit, before.routes[pattern])
		if route.Hedge == nil {
			r.hedger = n.base.hedger
		} else if err := r.setHedge(*route.Hedge, before.ownHedger(pattern)); err != nil {
			return nil, err
		}
		if err := addRoute(n.mux, pattern, r); err != nil {
			return nil, err
		}
		n.routes[pattern] = r
	}
	return n, nil
}

// ownHedger returns the hedger that the route has for itself, nil if it goes by
// the service's.
func (n *plan) ownHedger(pattern string) *retry.Hedger {
	if n.policy.Routes[pattern].Hedge == nil {
		return nil
	}
	return n.routes[pattern].hedger
}

// newRules returns the rules that go by p, which route is part of, without what
// they measure and count.
func newRules(pattern string, route Route, p Policy) *rules {
	r := &rules{
		pattern: pattern, timeout: p.timeout(), attempt: p.attemptTimeout(), bytes: p.ResponseBytes,
		retry: p.Retry, idempotent: route.Idempotent,
		fallback: p.Fallback, coalesce: route.Coalesce, cache: route.Cache, collapse: route.Collapse,
		criticality: limit.ParseCriticality(route.Criticality), rated: route.Criticality != "",
	}
	r.usual = (r.timeout - hopMargin(r.timeout) - 1).Milliseconds() // it is sent a moment after it began
	r.usualText = strconv.FormatInt(r.usual, 10)
	return r
}

// millis returns n in decimal form.
func (r *rules) millis(n int64) string {
	if n == r.usual {
		return r.usualText
	}
	return strconv.FormatInt(n, 10)
}

// setHedge makes r hedge by h, with what before, which may be nil, has measured.
func (r *rules) setHedge(h retry.Hedge, before *retry.Hedger) (err error) {
	switch {
	case !h.On:
	case before != nil:
		r.hedger, err = before, before.Update(h)
	default:
		r.hedger, err = retry.NewHedger(h)
	}
	return err
}

// setBulkhead bounds the calls by p, those under way by the rules before, which
// may be nil, included.
func (r *rules) setBulkhead(p limit.Policy, before *rules) {
	if p.MaxInflight == 0 {
		return
	}
	if before != nil {
		r.bulkhead = before.bulkhead
	}
	if r.bulkhead == nil {
		r.bulkhead = &routeBulkhead{Bulkhead: limit.NewBulkhead(p.MaxInflight)}
	}
	r.bulkhead.Update(p)
	r.spare = p.Shadow
}

// rulesFor returns what a call with this request goes by.
func (n *plan) rulesFor(req *http.Request) *rules {
	if n.mux == nil {
		return n.base
	}
	if req.Method == "" { // a client's way to say GET
		req = &http.Request{Method: http.MethodGet, URL: req.URL, Host: req.Host}
	}
	h, _ := n.mux.Handler(req)
	if r, ok := h.(routeHandler); ok {
		return r.rules
	}
	return n.base // no pattern matches, or only one for another spelling of the path
}

// layered reports whether there is more to a call than the call.
func (r *rules) layered() bool { return r.coalesce || r.cache || r.invalidates || r.collapse != nil }

// caches reports whether some route of p has a cache.
func (p *Policy) caches() bool {
	for _, r := range p.Routes {
		if r.Cache {
			return true
		}
	}
	return false
}

// patterns returns the patterns of the routes in an order that is always the
// same.
func (p *Policy) patterns() []string { return slices.Sorted(maps.Keys(p.Routes)) }

// hasHost reports whether pattern, as of a [http.ServeMux], names a host.
func hasHost(pattern string) bool {
	rest := pattern
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		rest = strings.TrimLeft(pattern[i:], " \t")
	}
	return rest != "" && rest[0] != '/'
}
