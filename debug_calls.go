package gabion

import (
	"cmp"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/doctor"
)

// debugThrottle is how much of the calls is held back.
type debugThrottle struct {
	On        bool    `json:"on"`
	Rejecting float64 `json:"rejecting"`
}

// debugRoute is the bulkhead of one route, within that of its service.
type debugRoute struct {
	Route    string `json:"route"`
	InFlight int    `json:"in_flight"`
	Limit    int    `json:"limit"`
	Refused  uint64 `json:"refused"`
	Spared   uint64 `json:"spared"`
}

func newDebugRoutes(c transport.ServiceState) []debugRoute {
	all := []debugRoute{}
	for _, r := range c.RouteLimits() {
		all = append(all, debugRoute{r.Route, r.InFlight, r.Max, r.Refused, r.Spared})
	}
	return all
}

// debugHedge is from when calls are hedged, of the service or of one route.
type debugHedge struct {
	Route    string  `json:"route,omitempty"`
	Known    bool    `json:"known"`
	FirstMS  float64 `json:"first_ms"`
	SecondMS float64 `json:"second_ms"`
}

// debugShadow is what limits in the shadow would have done; what the others would
// have refused is in gabion_shadow_rejected_total.
type debugShadow struct {
	BreakerRefusals uint64 `json:"breaker_refusals"`
	Ejections       uint64 `json:"ejections"`
}

func newDebugShadow(c transport.ServiceState) debugShadow {
	d := debugShadow{Ejections: c.Balancer.ShadowEjections()}
	if c.Breaker.Mode() == breaker.ModeShadow {
		d.BreakerRefusals = c.Breaker.Counts().Rejected
	}
	return d
}

func (s *Service) debugHedging(service string) []debugHedge {
	all := []debugHedge{}
	for _, h := range s.client.Hedging(service) {
		all = append(all, debugHedge{h.Route, h.Known, milliseconds(h.Delays.First), milliseconds(h.Delays.Second)})
	}
	return all
}

// doctor looks over what the service knows: its own settings, and those by which
// it calls others.
func (s *Service) doctor() []doctor.Finding {
	own := doctor.Service{
		Name: s.cfg.name, Policies: s.client.Policies(), Fallbacks: s.client.FallbackFuncs(), Cache: s.client.HasCache(),
		Server: s.cfg.server, DrainDelay: cmp.Or(s.cfg.drainDelay, 1), ShutdownTimeout: cmp.Or(s.cfg.shutdownTimeout, 1),
	}
	for _, c := range s.client.Services() {
		own.Calls = append(own.Calls, doctor.Call{Service: c.Name})
	}
	found := doctor.Check(doctor.Fleet{Services: []doctor.Service{own}})
	if found == nil {
		found = []doctor.Finding{}
	}
	return found
}
