package gabion

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/doctor"
)

// debugState is what /debug/gabion shows, as JSON:
//
//   - instance, status, registration, checks, server, discovery: this instance,
//     and what it knows of others;
//   - clients: each service that it calls, with circuit, limits, endpoints, what is
//     hedged and from when, what shadows, and the policy in force, routes
//     included, with its source;
//   - policies: all that are in force, the last change and the last refusal, and of
//     each file or store its documents with the reason why one was refused;
//   - doctor: what makes no sense in all this, see package transport/doctor.
type debugState struct {
	Instance     debugInstance           `json:"instance"`
	Status       string                  `json:"status"`
	Registration string                  `json:"registration"`
	Checks       []debugCheck            `json:"checks"`
	Server       debugLimit              `json:"server"`
	Discovery    map[string]debugService `json:"discovery"`
	Clients      []debugClient           `json:"clients"`
	Policies     debugPolicies           `json:"policies"`
	Doctor       []doctor.Finding        `json:"doctor"`
}

type debugInstance struct {
	ID      string            `json:"id"`
	Service string            `json:"service"`
	Addr    string            `json:"addr"`
	Zone    string            `json:"zone,omitempty"`
	Version string            `json:"version,omitempty"`
	Weight  int               `json:"weight,omitempty"`
	Tags    []string          `json:"tags,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
}

type debugCheck struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	DegradeOnly bool      `json:"degrade_only,omitempty"`
	Healthy     bool      `json:"healthy"`
	Output      string    `json:"output,omitempty"`
	Checked     time.Time `json:"checked,omitzero"`
}

type debugLimit struct {
	InFlight int `json:"in_flight"`
	Limit    int `json:"limit"`
	Requests int `json:"requests,omitempty"`
}

type debugService struct {
	Instances int     `json:"instances"`
	Staleness float64 `json:"staleness_seconds"`
	Error     string  `json:"error,omitempty"`
}

type debugClient struct {
	Service   string           `json:"service"`
	Breaker   string           `json:"breaker"`
	Throttle  debugThrottle    `json:"throttle"`
	Hedging   []debugHedge     `json:"hedging"`
	Shadow    debugShadow      `json:"shadow"`
	Panic     bool             `json:"panic"`
	Limit     debugLimit       `json:"bulkhead"`
	Routes    []debugRoute     `json:"route_bulkheads"`
	Budget    float64          `json:"retry_tokens"`
	Pick      debugPick        `json:"pick"`
	Endpoints []debugEndpoint  `json:"endpoints"`
	Policy    transport.Policy `json:"policy"`
	Source    string           `json:"policy_source"`
}

// debugPick is where a call would go now, and why.
type debugPick struct {
	Policy   string                    `json:"policy"`
	Part     string                    `json:"part,omitempty"`
	Zone     string                    `json:"zone,omitempty"`
	Chosen   string                    `json:"chosen,omitempty"`
	Reason   balance.ChoiceReason      `json:"reason,omitempty"`
	Compared []string                  `json:"compared,omitempty"`
	Excluded map[balance.Exclusion]int `json:"excluded,omitempty"`
}

type debugEndpoint struct {
	debugInstance
	State     string            `json:"state"`
	Excluded  balance.Exclusion `json:"excluded,omitempty"`
	InFlight  int               `json:"in_flight"`
	LatencyMS float64           `json:"latency_ms"`
	StalledMS float64           `json:"stalled_ms,omitempty"`
	Failing   float64           `json:"failing,omitempty"`
	Reported  *int              `json:"reported_in_flight,omitempty"`
	SlowStart float64           `json:"slow_start"`
	Cost      float64           `json:"cost"`
}

func (s *Service) debug() debugState {
	d := debugState{
		Checks: []debugCheck{}, Discovery: map[string]debugService{}, Clients: []debugClient{},
		Registration: "not running",
	}
	if l := s.listening.Load(); l != nil {
		d.Instance, d.Registration = debugInstance(l.instance), "starting"
	}
	if err := s.regErr.Load(); err != nil {
		d.Registration = "registered"
		switch {
		case errors.Is(*err, discovery.ErrReadOnly):
			d.Registration = "not announced: the backend is read-only"
		case *err != nil:
			d.Registration = (*err).Error()
		}
	}
	for _, r := range s.health.Results() {
		d.Checks = append(d.Checks, debugCheck{r.Name, r.Kind.String(), r.DegradeOnly, r.Healthy, r.Output, r.Checked})
	}
	status, _ := s.health.Status()
	d.Status = status.String()
	d.Server.InFlight, d.Server.Limit = s.server.Limit()
	d.Server.Requests = s.server.InFlight()
	now := time.Now()
	for service, snap := range s.directory.Snapshots() {
		e := debugService{Instances: len(snap.Instances), Staleness: snap.Age(now).Seconds()}
		if snap.Err != nil {
			e.Error = snap.Err.Error()
		}
		d.Discovery[service] = e
	}
	services := s.client.Services()
	slices.SortStableFunc(services, func(a, b transport.ServiceState) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range services {
		d.Clients = append(d.Clients, s.debugClient(c))
	}
	d.Policies, d.Doctor = s.debugPolicies(), s.doctor()
	return d
}

func (s *Service) debugClient(c transport.ServiceState) debugClient {
	stats := c.Balancer.Stats()
	d := debugClient{
		Service: c.Name, Breaker: c.Breaker.State().String(), Panic: stats.Panic,
		Limit:  debugLimit{InFlight: c.Bulkhead.InFlight(), Limit: c.Bulkhead.Max()},
		Budget: c.Budget.Tokens(),
		Policy: s.client.PolicyFor(c.Name).WithDefaults(), Endpoints: []debugEndpoint{},
		Source: s.client.PolicySource(c.Name), Throttle: debugThrottle{c.Throttle.Policy().On, c.Throttle.Rejecting()},
		Routes: newDebugRoutes(c), Hedging: s.debugHedging(c.Name), Shadow: newDebugShadow(c),
	}
	x := c.Balancer.Explain(balance.Call{})
	d.Pick = debugPick{Policy: x.Policy, Part: x.Part, Zone: x.Zone, Chosen: x.Chosen.Instance.ID, Reason: x.Reason, Excluded: x.Excluded}
	for i := range x.Compared {
		d.Pick.Compared = append(d.Pick.Compared, x.Compared[i].Instance.ID)
	}
	for i := range x.Endpoints {
		d.Endpoints = append(d.Endpoints, newDebugEndpoint(&x.Endpoints[i]))
	}
	return d
}

func newDebugEndpoint(c *balance.Candidate) debugEndpoint {
	d := debugEndpoint{
		debugInstance: debugInstance(c.Instance), State: c.State.String(), Excluded: c.Excluded, InFlight: c.InFlight,
		LatencyMS: milliseconds(c.Latency), StalledMS: milliseconds(c.Stalled),
		Failing: c.Failing, SlowStart: c.SlowStart, Cost: c.Cost,
	}
	if c.Reported >= 0 {
		d.Reported = &c.Reported
	}
	return d
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
