package metrics

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readTimeout bounds the reads of one scrape, all together.
const readTimeout = 2 * time.Second

// ServiceStats is the state of a called service at one moment.
type ServiceStats struct {
	// BreakerState is 0 closed, 1 half-open, 2 open, or -1 without a breaker.
	BreakerState int
	// Available, Ejected and Draining count the endpoints in each state.
	Available, Ejected, Draining int
	// Panic is set while the balancer uses all endpoints because too few are
	// healthy.
	Panic bool
	// ClientInflight and ClientMax are the calls in flight and the most
	// allowed. ClientMax 0 means no limit.
	ClientInflight, ClientMax int
	// ShadowEjections counts the ejections that were not carried out, because
	// the settings say that ejection only shadows.
	ShadowEjections uint64
	// Routes are those with a limit of their own. Those beyond [WithMaxRoutes], in
	// the order of their names, are shown as one.
	Routes []RouteStats
}

// RouteStats is the state of the limit that calls by one route have, within that
// of their service.
type RouteStats struct {
	Route         string // its pattern, never a raw path
	Inflight, Max int
	// Rejected counts the calls refused so far. They are among those counted by
	// [Client.Rejected].
	Rejected uint64
}

// HealthResult is the last result of a health check.
type HealthResult struct {
	Check   string
	Kind    string // liveness, readiness or startup
	Healthy bool
}

type namedStats struct {
	service string
	ServiceStats
}

type serverLimit struct {
	service       string
	inflight, max int
}

type staleness struct {
	backend  string
	services map[string]time.Duration
}

// AddService shows the state of a called service until remove is called. read
// runs at scrape time, possibly at the same time as other reads; it should only
// look and not block. Two sources of one service are shown as one: calls in
// flight and their limit are added up, of the others the largest counts. The
// counters of the service begin at zero with it, so that a first event is seen
// as an increase.
func (m *Metrics) AddService(service string, read func() ServiceStats) (remove func()) {
	m.Client(service).startAtZero()
	return m.pulled.services.add(func() namedStats { return namedStats{service, read()} })
}

// AddServerLimit shows the requests in flight and the most allowed for a
// service that this process serves. It is read like that of [Metrics.AddService].
func (m *Metrics) AddServerLimit(service string, read func() (inflight, limit int)) (remove func()) {
	return m.pulled.limits.add(func() serverLimit {
		inflight, most := read()
		return serverLimit{service, inflight, most}
	})
}

// AddHealth shows the results of health checks. It is read like that of
// [Metrics.AddService]; of two results of one check the unhealthy one counts.
func (m *Metrics) AddHealth(read func() []HealthResult) (remove func()) {
	return m.pulled.health.add(read)
}

// AddStaleness shows by service how long ago backend last confirmed its list of
// instances; 0 while the backend answers. It is read like that of
// [Metrics.AddService]; of two values for one service the larger counts.
func (m *Metrics) AddStaleness(backend string, read func() map[string]time.Duration) (remove func()) {
	return m.pulled.staleness.add(func() staleness { return staleness{backend, read()} })
}

// pulled is the part of Metrics that is read at scrape time.
type pulled struct {
	m *Metrics

	services  sources[namedStats]
	limits    sources[serverLimit]
	health    sources[[]HealthResult]
	staleness sources[staleness]

	breakerState, endpoints, panicking, inflight, limit, spared, age, healthy *prometheus.Desc
	routeInflight, routeLimit, routeRejected                                  *prometheus.Desc
}

func (p *pulled) init(m *Metrics) {
	p.m = m
	p.breakerState = desc("gabion_breaker_state",
		"State of the circuit breaker of a service: 0 closed, 1 half-open, 2 open.", "service")
	p.endpoints = desc("gabion_balancer_endpoints", "Endpoints of a service by state.", "service", "state")
	p.panicking = desc("gabion_balancer_panic",
		"1 while all endpoints are used because too few are healthy.", "service")
	p.inflight = desc("gabion_limit_inflight", "Calls in flight.", "side", "service")
	p.limit = desc("gabion_limit_max", "Most calls allowed in flight.", "side", "service")
	p.spared = desc("gabion_shadow_ejections_total",
		"Ejections of an endpoint that were not carried out, because ejection only shadows.", "service")
	p.routeInflight = desc("gabion_route_limit_inflight", "Calls in flight by a route with a limit of its own.", "service", "route")
	p.routeLimit = desc("gabion_route_limit_max", "Most calls allowed in flight by a route with a limit of its own.", "service", "route")
	p.routeRejected = desc("gabion_route_limit_rejected_total",
		"Calls refused by the limit of their route; gabion_limit_rejected_total counts them, too.", "service", "route")
	p.age = desc("gabion_discovery_staleness_seconds",
		"Time since discovery last confirmed the instances of a service; 0 while it answers.", "backend", "service")
	p.healthy = desc("gabion_health_status", "1 if the health check passes.", "check", "kind")
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (p *pulled) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		p.breakerState, p.endpoints, p.panicking, p.inflight, p.limit, p.spared, p.age, p.healthy,
		p.routeInflight, p.routeLimit, p.routeRejected,
	} {
		ch <- d
	}
}

// collect reads all sources at once, sends what they say, and returns how many
// failed.
func (p *pulled) collect(ch chan<- prometheus.Metric) (failed int) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	services, limits := p.services.start(), p.limits.start()
	health, ages := p.health.start(), p.staleness.start()

	send := sender(ch)
	failed += sendMerged(ctx, services, p.mergeServices, send)
	failed += sendMerged(ctx, limits, p.mergeLimits, send)
	failed += sendMerged(ctx, health, p.mergeHealth, send)
	failed += sendMerged(ctx, ages, p.mergeStaleness, send)
	return failed
}

// sender sends what was read to a scrape.
type sender chan<- prometheus.Metric

func (s sender) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sender) counter(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func sendMerged[T any](ctx context.Context, readings []*reading[T], merge func([]T, sender), s sender) int {
	values, failed := results(ctx, readings)
	merge(values, s)
	return failed
}

func (p *pulled) mergeServices(all []namedStats, s sender) {
	merged := map[string]ServiceStats{}
	for _, one := range all {
		label := p.m.services.label(one.service)
		sum, ok := merged[label]
		if !ok {
			sum.BreakerState = -1
		}
		merged[label] = sum.merge(one.ServiceStats)
	}
	for label, stats := range merged {
		p.sendService(label, stats, s)
	}
}

// merge is how two sources of one service are shown as one.
func (s ServiceStats) merge(o ServiceStats) ServiceStats {
	return ServiceStats{
		BreakerState:   max(s.BreakerState, o.BreakerState),
		Available:      max(s.Available, o.Available),
		Ejected:        max(s.Ejected, o.Ejected),
		Draining:       max(s.Draining, o.Draining),
		Panic:          s.Panic || o.Panic,
		ClientInflight: s.ClientInflight + o.ClientInflight,
		ClientMax:      s.ClientMax + o.ClientMax,

		ShadowEjections: s.ShadowEjections + o.ShadowEjections,
		Routes:          slices.Concat(s.Routes, o.Routes),
	}
}

func (p *pulled) sendService(label string, stats ServiceStats, s sender) {
	if stats.BreakerState >= 0 {
		s.gauge(p.breakerState, float64(stats.BreakerState), label)
	}
	s.gauge(p.endpoints, float64(stats.Available), label, "available")
	s.gauge(p.endpoints, float64(stats.Ejected), label, "ejected")
	s.gauge(p.endpoints, float64(stats.Draining), label, "draining")
	s.gauge(p.panicking, number(stats.Panic), label)
	s.gauge(p.inflight, float64(stats.ClientInflight), "client", label)
	s.gauge(p.limit, float64(stats.ClientMax), "client", label)
	s.counter(p.spared, float64(stats.ShadowEjections), label)
	for route, r := range p.mergeRoutes(stats.Routes) {
		s.gauge(p.routeInflight, float64(r.Inflight), label, route)
		s.gauge(p.routeLimit, float64(r.Max), label, route)
		s.counter(p.routeRejected, float64(r.Rejected), label, route)
	}
}

// mergeRoutes adds up routes of the same label. A policy may have more of them
// than there may be labels.
func (p *pulled) mergeRoutes(all []RouteStats) map[string]RouteStats {
	slices.SortFunc(all, func(a, b RouteStats) int { return strings.Compare(a.Route, b.Route) })
	merged := map[string]RouteStats{}
	for _, r := range all {
		label := clean(r.Route)
		if _, known := merged[label]; !known && (len(merged) >= p.m.maxRoutes || len(label) > maxLabel) {
			label = Other
		}
		sum := merged[label]
		merged[label] = RouteStats{label, sum.Inflight + r.Inflight, sum.Max + r.Max, sum.Rejected + r.Rejected}
	}
	return merged
}

func (p *pulled) mergeLimits(all []serverLimit, s sender) {
	merged := map[string]serverLimit{}
	for _, one := range all {
		label := p.m.servers.label(one.service)
		sum := merged[label]
		merged[label] = serverLimit{label, sum.inflight + one.inflight, sum.max + one.max}
	}
	for label, l := range merged {
		s.gauge(p.inflight, float64(l.inflight), "server", label)
		s.gauge(p.limit, float64(l.max), "server", label)
	}
}

func (p *pulled) mergeHealth(all [][]HealthResult, s sender) {
	type key struct{ check, kind string }
	merged := map[key]bool{}
	for _, list := range all {
		for _, r := range list {
			k := key{p.m.checks.label(r.Check), p.m.kinds.label(r.Kind)}
			before, seen := merged[k]
			merged[k] = r.Healthy && (before || !seen)
		}
	}
	for k, healthy := range merged {
		s.gauge(p.healthy, number(healthy), k.check, k.kind)
	}
}

func (p *pulled) mergeStaleness(all []staleness, s sender) {
	type key struct{ backend, service string }
	merged := map[key]time.Duration{}
	for _, one := range all {
		backend := p.m.backends.label(one.backend)
		for service, age := range one.services {
			k := key{backend, p.m.services.label(service)}
			merged[k] = max(merged[k], age)
		}
	}
	for k, age := range merged {
		s.gauge(p.age, age.Seconds(), k.backend, k.service)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
