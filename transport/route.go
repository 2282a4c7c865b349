package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/collapse"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// A Route is what the calls that match a pattern have of their own, on top of
// their service's policy. A zero field means: as for the service. In JSON
// durations are strings, and an unknown name is an error.
type Route struct {
	// Timeout and AttemptTimeout are as in [Policy].
	Timeout, AttemptTimeout time.Duration
	// ResponseBytes is as in [Policy]; negative lifts the service's limit.
	ResponseBytes int64
	// Retry replaces the service's, but for the budget: a service has one.
	Retry *retry.Policy
	// Idempotent declares that a call may be delivered more than once whatever
	// its method: a search by POST, a write that the server knows how to
	// recognize.
	Idempotent bool
	// Hedge replaces the service's. The route then measures by itself.
	Hedge *retry.Hedge
	// Limit.MaxInflight bounds the route's calls in flight, within the
	// service's bound.
	Limit limit.Policy
	// Criticality is that of calls which carry none: one of critical_plus,
	// critical, sheddable_plus and sheddable.
	Criticality string
	// Fallback replaces the service's; one that says nothing turns it off.
	Fallback *Fallback
	// Coalesce lets identical GETs and HEADs in flight share one call: see
	// package coalesce for what is identical and what is shared.
	Coalesce bool
	// Cache lets responses be answered from the client's cache, which
	// [WithCache] gives it.
	Cache bool
	// Collapse, if not nil, lets lookups gather and be answered by one call, the
	// one that [WithBatch] gives the client for this pattern. Its zero fields
	// are the defaults of package collapse.
	Collapse *collapse.Settings
}

type routeJSON struct {
	Timeout        duration.Duration  `json:"timeout,omitzero"`
	AttemptTimeout duration.Duration  `json:"attempt_timeout,omitzero"`
	ResponseBytes  int64              `json:"response_bytes,omitzero"`
	Retry          *retry.Policy      `json:"retry,omitempty"`
	Idempotent     bool               `json:"idempotent,omitzero"`
	Hedge          *retry.Hedge       `json:"hedge,omitempty"`
	Limit          limit.Policy       `json:"limit,omitzero"`
	Criticality    string             `json:"criticality,omitzero"`
	Fallback       *Fallback          `json:"fallback,omitempty"`
	Coalesce       bool               `json:"coalesce,omitzero"`
	Cache          bool               `json:"cache,omitzero"`
	Collapse       *collapse.Settings `json:"collapse,omitempty"`
}

func (r Route) json() routeJSON {
	return routeJSON{
		Timeout: duration.Duration(r.Timeout), AttemptTimeout: duration.Duration(r.AttemptTimeout),
		ResponseBytes: r.ResponseBytes, Retry: r.Retry, Idempotent: r.Idempotent, Hedge: r.Hedge,
		Limit: r.Limit, Criticality: r.Criticality,
		Fallback: r.Fallback, Coalesce: r.Coalesce, Cache: r.Cache, Collapse: r.Collapse,
	}
}

// MarshalJSON writes the fields that are set.
func (r Route) MarshalJSON() ([]byte, error) { return json.Marshal(r.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of r as it was.
func (r *Route) UnmarshalJSON(data []byte) error {
	j := r.json()
	if err := strictjson.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("transport: route: %w", err)
	}
	*r = Route{
		Timeout: time.Duration(j.Timeout), AttemptTimeout: time.Duration(j.AttemptTimeout),
		ResponseBytes: j.ResponseBytes, Retry: j.Retry, Idempotent: j.Idempotent, Hedge: j.Hedge,
		Limit: j.Limit, Criticality: j.Criticality,
		Fallback: j.Fallback, Coalesce: j.Coalesce, Cache: j.Cache, Collapse: j.Collapse,
	}
	return nil
}

// over returns p with what r has of its own.
func (r *Route) over(p Policy) Policy {
	if r.Timeout != 0 {
		p.Timeout = r.Timeout
		if r.AttemptTimeout == 0 && p.AttemptTimeout > r.Timeout {
			p.AttemptTimeout = r.Timeout
		}
	}
	if r.AttemptTimeout != 0 {
		p.AttemptTimeout = r.AttemptTimeout
	}
	if r.ResponseBytes != 0 {
		p.ResponseBytes = max(0, r.ResponseBytes)
	}
	if r.Retry != nil {
		budget := p.Retry.Budget
		p.Retry = *r.Retry
		p.Retry.Budget = budget
	}
	if r.Hedge != nil {
		p.Hedge = *r.Hedge
	}
	if r.Fallback != nil {
		p.Fallback = *r.Fallback
	}
	p.Limit, p.Routes = r.Limit, nil
	return p
}

// validate reports everything that makes no sense for a route of p.
func (r *Route) validate(p Policy) error {
	var errs []error
	if r.Retry != nil && r.Retry.Budget != (retry.BudgetPolicy{}) {
		errs = append(errs, errors.New("transport: retry.budget is the service's: set it there"))
	}
	switch r.Criticality {
	case "", limit.ParseCriticality(r.Criticality).String():
	default:
		errs = append(errs, fmt.Errorf("transport: criticality %.40q: want critical_plus, critical, sheddable_plus or sheddable", r.Criticality))
	}
	if r.Collapse != nil {
		errs = append(errs, r.Collapse.Validate())
	}
	return errors.Join(append(errs, r.over(p).validateCall(), r.Limit.Validate())...)
}

// routeHandler is how a [http.ServeMux] tells which route a request matched.
type routeHandler struct{ rules *rules }

func (routeHandler) ServeHTTP(http.ResponseWriter, *http.Request) {}

// addRoute adds a pattern to mux, whose own way to refuse one is to panic.
func addRoute(mux *http.ServeMux, pattern string, r *rules) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	mux.Handle(pattern, routeHandler{r})
	return nil
}

// validateRoutes reports patterns that are none, that conflict, or whose routes
// make no sense.
func (p Policy) validateRoutes() error {
	var errs []error
	mux := http.NewServeMux()
	for _, pattern := range p.patterns() {
		route := p.Routes[pattern]
		if hasHost(pattern) {
			errs = append(errs, fmt.Errorf("transport: policy: route %q: want a method and a path such as %q, without a host", pattern, "GET /v1/items/{id}"))
			continue
		}
		if err := addRoute(mux, pattern, nil); err != nil {
			errs = append(errs, fmt.Errorf("transport: policy: route %q: %w", pattern, err))
		}
		if err := route.validate(p); err != nil {
			errs = append(errs, fmt.Errorf("transport: policy: route %q: %w", pattern, err))
		}
	}
	return errors.Join(errs...)
}
