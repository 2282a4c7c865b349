package metrics

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// buckets are the upper bounds of both duration histograms in seconds: the
// advice of the OpenTelemetry HTTP conventions, extended down to 1 ms for
// calls that stay inside a machine.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// Metrics is the collector of all series of one registerer. Its methods may be
// called at the same time. It starts no goroutines of its own and needs no
// Close.
type Metrics struct {
	maxRoutes int

	services      *vocabulary // callees
	servers       *vocabulary // services that this process serves
	backends      *vocabulary
	reasons       *vocabulary
	errorTypes    *vocabulary
	breakerStates *vocabulary
	signals       *vocabulary
	checks        *vocabulary
	kinds         *vocabulary

	// mu makes Forget and the creation of children exclude each other, so
	// that no handle keeps a child that Forget has removed.
	mu    sync.Mutex
	epoch atomic.Uint64 // moves when children were removed
	still atomic.Uint64 // the epoch of server handles: never moves

	clients    sync.Map // label of the service -> *Client
	serverList sync.Map // label of the service -> *Server

	clientDuration   *prometheus.HistogramVec
	serverDuration   *prometheus.HistogramVec
	serverActive     *prometheus.GaugeVec
	attempts         *prometheus.CounterVec
	budgetExhausted  *prometheus.CounterVec
	shadows          *prometheus.CounterVec
	fallbacks        *prometheus.CounterVec
	transitions      *prometheus.CounterVec
	rejected         *prometheus.CounterVec
	spared           *prometheus.CounterVec
	discoveryUpdates *prometheus.CounterVec
	discoveryErrors  *prometheus.CounterVec
	dropped          *prometheus.CounterVec
	buildInfo        prometheus.Gauge

	pulled pulled
}

// An Option changes what [New] makes.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	maxServices, maxRoutes int
	version                string
}

// WithMaxServices bounds the distinct service names in labels; further names
// share [Overflow]. n must be positive. Default 1000.
func WithMaxServices(n int) Option { return optionFunc(func(c *config) { c.maxServices = n }) }

// WithMaxRoutes bounds the distinct routes of each [Server], and those with
// limits of their own of each called service; further routes share [Other]. n
// must be positive. Default 1000.
func WithMaxRoutes(n int) Option { return optionFunc(func(c *config) { c.maxRoutes = n }) }

// WithVersion sets the version in gabion_build_info. Default: that of the
// gabion module in this binary.
func WithVersion(v string) Option { return optionFunc(func(c *config) { c.version = v }) }

// New returns the Metrics of reg, which must not be nil. The first call makes
// and registers them; later calls with the same reg return the first ones, and
// their options have no effect. The error joins invalid options, or says that
// other collectors already use one of the names.
func New(reg prometheus.Registerer, opts ...Option) (*Metrics, error) {
	c := config{maxServices: 1000, maxRoutes: 1000, version: moduleVersion()}
	for _, o := range opts {
		o.apply(&c)
	}
	if err := c.validate(reg); err != nil {
		return nil, err
	}
	m := newMetrics(c)
	err := reg.Register(m)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if first, ok := already.ExistingCollector.(*Metrics); ok {
			return first, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("metrics: register: %w", err)
	}
	return m, nil
}

func (c config) validate(reg prometheus.Registerer) error {
	var errs []error
	if reg == nil {
		errs = append(errs, errors.New("metrics: registerer is nil"))
	}
	if c.maxServices <= 0 {
		errs = append(errs, fmt.Errorf("metrics: max services %d is not positive", c.maxServices))
	}
	if c.maxRoutes <= 0 {
		errs = append(errs, fmt.Errorf("metrics: max routes %d is not positive", c.maxRoutes))
	}
	return errors.Join(errs...)
}

func newMetrics(c config) *Metrics {
	m := &Metrics{
		maxRoutes: c.maxRoutes,

		services:      newVocabulary(c.maxServices, Unknown, Overflow),
		servers:       newVocabulary(c.maxServices, Unknown, Overflow),
		backends:      newVocabulary(32, Unknown, Overflow),
		reasons:       newWords(32, Other),
		errorTypes:    newWords(64, ""),
		breakerStates: newWords(8, Other),
		signals:       newWords(8, Other),
		checks:        newVocabulary(c.maxServices, Unknown, Overflow),
		kinds:         newWords(8, Other),

		clientDuration: histogram("http_client_request_duration_seconds",
			"Duration of calls to other services, retries included.",
			"http_request_method", "http_response_status_code", "server_address", "error_type"),
		serverDuration: histogram("http_server_request_duration_seconds",
			"Duration of requests served.",
			"http_request_method", "http_response_status_code", "http_route", "server_address"),
		serverActive: gauge("http_server_active_requests",
			"Requests being served now.", "http_request_method", "server_address"),
		attempts: counter("gabion_client_attempts_total",
			"Attempts of calls to a service, by how they ended and why they were made.",
			"service", "outcome", "kind"),
		budgetExhausted: counter("gabion_client_retry_budget_exhausted_total",
			"Calls whose retry was due and not made, because the retry budget was empty.", "service"),
		shadows: counter("gabion_client_shadows_total",
			"Requests sent a second time, to another version, by how its answer compares with the one that counts.",
			"service", "result"),
		fallbacks: counter("gabion_client_fallbacks_total",
			"Fallbacks tried for calls that their service could not answer, by what was to answer and what came of it.",
			"service", "kind", "outcome"),
		transitions: counter("gabion_breaker_transitions_total",
			"State changes of the circuit breaker of a service, by the state entered.", "service", "to"),
		rejected: counter("gabion_limit_rejected_total",
			"Calls refused by a limit before any work.", "side", "service", "reason", "criticality"),
		spared: counter("gabion_shadow_rejected_total",
			"Calls that a limit would have refused and let through, because it only shadows.", "side", "service", "reason"),
		discoveryUpdates: counter("gabion_discovery_updates_total",
			"Changes of the instances of a service received from discovery.", "backend", "service"),
		discoveryErrors: counter("gabion_discovery_errors_total",
			"Failed discovery reads.", "backend", "service"),
		dropped: counter("gabion_telemetry_dropped_total",
			"Telemetry lost: spans, log records, or metric reads.", "signal"),
		buildInfo: buildInfo(c.version),
	}
	m.pulled.init(m)
	for _, signal := range []string{"traces", "logs", "metrics"} {
		m.dropped.WithLabelValues(m.signals.label(signal)) // zero is an answer, too
	}
	return m
}

// collectors lists what Metrics is made of, but for the pulled gauges.
func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.clientDuration, m.serverDuration, m.serverActive, m.attempts, m.budgetExhausted, m.shadows, m.fallbacks,
		m.transitions, m.rejected, m.spared, m.discoveryUpdates, m.discoveryErrors, m.dropped, m.buildInfo,
	}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	m.pulled.describe(ch)
}

// Collect implements [prometheus.Collector]. It runs the read functions and
// returns after 2 s at the latest; a read that failed or took longer is left
// out and counted in gabion_telemetry_dropped_total{signal="metrics"}.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	if failed := m.pulled.collect(ch); failed > 0 {
		m.TelemetryDropped("metrics", failed)
	}
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

// BreakerTransition counts that the circuit of service entered the state to:
// closed, half-open or open.
func (m *Metrics) BreakerTransition(service, to string) {
	m.addCallee(m.transitions, m.breakerStates.label(to), service, "service", "to")
}

// DiscoveryUpdate counts a change of the instances of service, as told by a
// backend such as consul.
func (m *Metrics) DiscoveryUpdate(backend, service string) {
	m.addCallee(m.discoveryUpdates, m.backends.label(backend), service, "service", "backend")
}

// DiscoveryError counts a failed read of service from backend.
func (m *Metrics) DiscoveryError(backend, service string) {
	m.addCallee(m.discoveryErrors, m.backends.label(backend), service, "service", "backend")
}

// addCallee adds 1 to the child of vec whose labels are the callee's name and
// one other value.
func (m *Metrics) addCallee(vec *prometheus.CounterVec, value, service, serviceKey, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	vec.With(prometheus.Labels{serviceKey: m.services.label(service), key: value}).Inc()
}

// TelemetryDropped counts n lost items of signal: traces, logs or metrics. It
// does nothing if n is not positive.
func (m *Metrics) TelemetryDropped(signal string, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(m.signals.label(signal)).Add(float64(n))
	}
}

// Forget removes the series that this process holds as a caller of service and
// makes room for another name. Call it when a service has left for good. Its
// handles stay usable: the next use starts the series again from zero. Pulled
// gauges end with the remove function of their source, and series of what this
// process serves stay.
func (m *Metrics) Forget(service string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := m.services.label(service)
	if label == Overflow || label == Unknown {
		return // shared with other names
	}
	m.clientDuration.DeletePartialMatch(prometheus.Labels{"server_address": label})
	for _, vec := range []*prometheus.CounterVec{
		m.attempts, m.budgetExhausted, m.shadows, m.fallbacks, m.transitions, m.discoveryUpdates, m.discoveryErrors,
	} {
		vec.DeletePartialMatch(prometheus.Labels{"service": label})
	}
	m.rejected.DeletePartialMatch(prometheus.Labels{"side": "client", "service": label})
	m.spared.DeletePartialMatch(prometheus.Labels{"side": "client", "service": label})
	m.services.forget(label)
	m.clients.Delete(service)
	m.epoch.Add(1)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func buildInfo(version string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gabion_build_info",
		Help: "Version of gabion and of Go in this program. Always 1.",
		ConstLabels: prometheus.Labels{
			"version": clean(version), "goversion": clean(runtime.Version()),
		},
	})
	g.Set(1)
	return g
}

// moduleVersion returns the version of gabion that this binary was built with.
func moduleVersion() string {
	const path = "github.com/gabion-go/gabion"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Unknown
	}
	for _, mod := range append(info.Deps, &info.Main) {
		if mod.Path == path && mod.Version != "" {
			return mod.Version
		}
	}
	return "(devel)"
}
