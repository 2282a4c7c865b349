package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gabion-go/gabion/observe/logs"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
)

// Telemetry is the logger, the metrics and the traces of one service. Its
// methods may be called at the same time.
type Telemetry struct {
	log        *slog.Logger
	level      *slog.LevelVar
	registerer prometheus.Registerer
	gatherer   prometheus.Gatherer
	metrics    *metrics.Metrics
	traces     *traces.Provider
}

// An Option changes what [New] makes.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	getenv     func(string) string
	output     io.Writer
	logger     *slog.Logger
	registerer prometheus.Registerer
	gatherer   prometheus.Gatherer
	version    string
	logs       []logs.Option
	metrics    []metrics.Option
	traces     []traces.Option
}

// WithEnv sets where variables are read. Default [os.Getenv].
func WithEnv(getenv func(string) string) Option {
	return optionFunc(func(c *config) { c.getenv = getenv })
}

// WithOutput sets where log records are written. Default [os.Stderr].
func WithOutput(w io.Writer) Option { return optionFunc(func(c *config) { c.output = w }) }

// WithLogger uses a logger that exists instead of making one. Then the
// environment's settings for logs, and [Telemetry.Level], have no effect.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(c *config) { c.logger = l }) }

// WithRegistry uses a registry that exists instead of making one; the
// collectors of the Go runtime and the process are then its owner's business.
func WithRegistry(r prometheus.Registerer, g prometheus.Gatherer) Option {
	return optionFunc(func(c *config) { c.registerer, c.gatherer = r, g })
}

// WithSpanExporter exports spans, for example with observe/otlp. Without it
// traces pass through and none are recorded.
func WithSpanExporter(e sdktrace.SpanExporter) Option { return WithTraces(traces.WithExporter(e)) }

// WithUntrustedPeers is to be true for services at the edge: see
// [traces.WithUntrustedPeers]. Default false.
func WithUntrustedPeers(untrusted bool) Option {
	return WithTraces(traces.WithUntrustedPeers(untrusted))
}

// WithVersion sets the version of the service, shown on its spans. Default
// none.
func WithVersion(v string) Option { return optionFunc(func(c *config) { c.version = v }) }

// WithLogs adds options for the logger. The environment overrides them.
func WithLogs(opts ...logs.Option) Option {
	return optionFunc(func(c *config) { c.logs = append(c.logs, opts...) })
}

// WithMetrics adds options for the metrics.
func WithMetrics(opts ...metrics.Option) Option {
	return optionFunc(func(c *config) { c.metrics = append(c.metrics, opts...) })
}

// WithTraces adds options for the traces. The environment overrides them.
func WithTraces(opts ...traces.Option) Option {
	return optionFunc(func(c *config) { c.traces = append(c.traces, opts...) })
}

// New returns the telemetry of the named service, which OTEL_SERVICE_NAME
// renames in logs and traces. The error joins everything that is wrong in
// options and environment.
func New(service string, opts ...Option) (*Telemetry, error) {
	c := config{getenv: os.Getenv, output: os.Stderr}
	for _, o := range opts {
		o.apply(&c)
	}
	t := &Telemetry{}
	if err := errors.Join(t.setMetrics(c), t.setLogs(service, c)); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if err := t.setTraces(service, c); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return t, nil
}

func (t *Telemetry) setMetrics(c config) (err error) {
	t.registerer, t.gatherer = c.registerer, c.gatherer
	if t.registerer == nil && t.gatherer == nil {
		own := metrics.NewRegistry()
		own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		t.registerer, t.gatherer = own, own
	}
	if t.registerer == nil || t.gatherer == nil {
		return errors.New("a registry needs a registerer and a gatherer")
	}
	t.metrics, err = metrics.New(t.registerer, c.metrics...)
	return err
}

func (t *Telemetry) setLogs(service string, c config) error {
	if name := strings.TrimSpace(c.getenv("OTEL_SERVICE_NAME")); name != "" {
		service = name
	}
	fromEnv, err := logs.FromEnv(c.getenv)
	if c.logger != nil {
		t.log, t.level = c.logger, &slog.LevelVar{}
		return nil
	}
	opts := []logs.Option{logs.WithService(service), logs.WithDropped(t.dropped("logs"))}
	opts = append(append(opts, c.logs...), fromEnv...)
	t.log, t.level = logs.New(c.output, opts...)
	return err
}

func (t *Telemetry) setTraces(service string, c config) (err error) {
	opts := []traces.Option{traces.WithEnv(c.getenv), traces.WithLogger(t.log), traces.WithDropped(t.dropped("traces"))}
	if c.version != "" {
		opts = append(opts, traces.WithAttributes(attribute.String("service.version", c.version)))
	}
	t.traces, err = traces.New(service, append(opts, c.traces...)...)
	return err
}

// dropped returns a function that counts lost telemetry of a signal.
func (t *Telemetry) dropped(signal string) func(int) {
	return func(n int) { t.metrics.TelemetryDropped(signal, n) }
}

// Logger returns the logger.
func (t *Telemetry) Logger() *slog.Logger { return t.log }

// Level returns the level of the logger, which may be changed at any time.
func (t *Telemetry) Level() *slog.LevelVar { return t.level }

// Metrics returns the metrics of the contract.
func (t *Telemetry) Metrics() *metrics.Metrics { return t.metrics }

// Registry returns where a service registers its own metrics.
func (t *Telemetry) Registry() prometheus.Registerer { return t.registerer }

// Gatherer returns where all metrics are read.
func (t *Telemetry) Gatherer() prometheus.Gatherer { return t.gatherer }

// MetricsHandler serves all metrics: see [metrics.Handler].
func (t *Telemetry) MetricsHandler() http.Handler { return metrics.Handler(t.gatherer) }

// Traces returns the trace provider.
func (t *Telemetry) Traces() *traces.Provider { return t.traces }

// Shutdown exports the spans that are left. It returns when ctx ends, or after
// 5 s, whatever the exporter does. Logger and metrics stay usable.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.traces.Shutdown(ctx) }
