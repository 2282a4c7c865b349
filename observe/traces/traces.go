package traces

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/internal/redact"
)

// maxShutdown bounds Shutdown if its context does not.
const maxShutdown = 5 * time.Second

// limits bound what one span can hold. Values are cut at 4 KiB, which leaves
// room for a stack trace.
var limits = sdktrace.SpanLimits{
	AttributeValueLengthLimit:   4096,
	AttributeValueDepthLimit:    8,
	AttributeCountLimit:         128,
	EventCountLimit:             128,
	LinkCountLimit:              128,
	AttributePerEventCountLimit: 32,
	AttributePerLinkCountLimit:  32,
}

// Provider makes tracers and carries trace context in headers. Its methods may
// be called at the same time.
type Provider struct {
	tracers    trace.TracerProvider
	propagator propagation.TextMapPropagator
	untrusted  bool
	w3c        bool // whether the propagator is the usual one
	loyal      bool // whether what is below an unsampled span is not sampled either

	sdk      *sdktrace.TracerProvider // nil if nothing is recorded
	batch    *batcher                 // nil if nothing is exported
	stop     func(context.Context) error
	stopOnce sync.Once
	stopErr  error
}

// An Option changes what [New] makes.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	getenv     func(string) string
	exporter   sdktrace.SpanExporter
	processors []sdktrace.SpanProcessor
	sampler    sdktrace.Sampler
	attributes []attribute.KeyValue
	untrusted  bool
	queue      int
	dropped    func(n int)
	log        *slog.Logger
}

// WithEnv sets where variables are read. Default [os.Getenv].
func WithEnv(getenv func(string) string) Option {
	return optionFunc(func(c *config) { c.getenv = getenv })
}

// WithExporter exports spans to e, which [Provider.Shutdown] shuts down. The
// later of two wins. Default none.
func WithExporter(e sdktrace.SpanExporter) Option {
	return optionFunc(func(c *config) { c.exporter = e })
}

// WithSpanProcessor adds a processor that sees every recorded span at once, as
// a test wants it. It must not block.
func WithSpanProcessor(p sdktrace.SpanProcessor) Option {
	return optionFunc(func(c *config) { c.processors = append(c.processors, p) })
}

// WithSampler sets the sampler, unless OTEL_TRACES_SAMPLER does.
func WithSampler(s sdktrace.Sampler) Option { return optionFunc(func(c *config) { c.sampler = s }) }

// WithAttributes adds attributes to the resource that all spans share, such as
// service.version. OTEL_RESOURCE_ATTRIBUTES overrides them.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return optionFunc(func(c *config) { c.attributes = append(c.attributes, attrs...) })
}

// WithUntrustedPeers is to be true at the edge of a system: then traces,
// sampling decisions and baggage that arrive in headers are not adopted. Default
// false.
func WithUntrustedPeers(untrusted bool) Option {
	return optionFunc(func(c *config) { c.untrusted = untrusted })
}

// WithQueueSize bounds the spans that wait for or are in export. n must be
// positive. Default 2048.
func WithQueueSize(n int) Option { return optionFunc(func(c *config) { c.queue = n }) }

// WithDropped sets a function that is told of each loss of n spans. It runs
// where a span ends and must not block.
func WithDropped(f func(n int)) Option { return optionFunc(func(c *config) { c.dropped = f }) }

// WithLogger sets where the first of a row of export failures, and the recovery
// after it, are logged. Default: nowhere.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(c *config) { c.log = l }) }

// New returns a Provider for the service, whose name OTEL_SERVICE_NAME
// overrides. The error joins every bad option and variable.
func New(service string, opts ...Option) (*Provider, error) {
	c := config{getenv: os.Getenv, queue: 2048, dropped: func(int) {}}
	for _, o := range opts {
		o.apply(&c)
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var badQueue error
	if c.queue <= 0 {
		badQueue = fmt.Errorf("traces: queue size %d is not positive", c.queue)
	}
	prop, badProp := propagatorFromEnv(c.getenv)
	sampler, badSampler := samplerFromEnv(c.getenv)
	resource, badResource := newResource(service, c)
	if err := errors.Join(badQueue, badProp, badSampler, badResource); err != nil {
		return nil, err
	}
	if sampler != nil {
		c.sampler = sampler
	}
	p := &Provider{propagator: bounded{prop}, untrusted: c.untrusted, w3c: isW3C(prop)}
	p.build(c, resource)
	return p, nil
}

// Tracer returns the tracer for the named part of the program, usually a
// package path.
func (p *Provider) Tracer(name string) trace.Tracer { return p.tracers.Tracer(name) }

// TracerProvider returns the provider for libraries that want one, such as
// otelhttp.
func (p *Provider) TracerProvider() trace.TracerProvider { return p.tracers }

// Propagator returns what carries trace context in headers. It ignores headers
// of unreasonable size or form. It adopts what it extracts, whatever
// [WithUntrustedPeers] says.
func (p *Provider) Propagator() propagation.TextMapPropagator { return p.propagator }

// Recording reports whether spans are recorded at all. If not, attributes need
// not be gathered.
func (p *Provider) Recording() bool { return p.sdk != nil }

// Unsampled reports whether ctx is in the midst of a trace of which nothing is
// recorded here, because it was decided so where the trace began. Then no span
// need be started: nobody would see it, and that of ctx, on which nothing has an
// effect, can stand for it.
func (p *Provider) Unsampled(ctx context.Context) bool {
	span := trace.SpanFromContext(ctx)
	sc := span.SpanContext()
	if !sc.IsValid() || span.IsRecording() {
		return false
	}
	return p.sdk == nil || p.loyal && !sc.IsSampled()
}

// Incoming returns ctx with what the headers of a request say, and options for
// the span of that request. From untrusted peers nothing is adopted: the
// options start a new trace, which links to theirs.
func (p *Provider) Incoming(ctx context.Context, h http.Header) (context.Context, []trace.SpanStartOption) {
	if !p.untrusted {
		return p.extract(ctx, h), nil
	}
	remote := trace.SpanContextFromContext(p.extract(context.Background(), h))
	opts := []trace.SpanStartOption{trace.WithNewRoot()}
	if remote.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: remote}))
	}
	return ctx, opts
}

// Outgoing writes the trace context and baggage of ctx into the headers of a
// request.
func (p *Provider) Outgoing(ctx context.Context, h http.Header) {
	p.inject(ctx, h)
}

// Shutdown exports what is queued and ends the provider. It returns when ctx
// ends, or after 5 s, even if the exporter hangs; spans left then are counted
// as dropped. A second Shutdown returns what the first did. Tracers stay usable
// and record nothing.
func (p *Provider) Shutdown(ctx context.Context) error {
	p.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, maxShutdown)
		defer cancel()
		if err := within(ctx, p.stop); err != nil {
			p.stopErr = fmt.Errorf("traces: shut down: %w", err)
		}
		if p.batch != nil {
			p.batch.giveUp()
		}
	})
	return p.stopErr
}

// Redact returns u in a form fit for a span: without userinfo and fragment, and
// with the values of secret query parameters marked. A nil u gives "".
func Redact(u *url.URL) string { return redact.URL(u) }

// maxErrorText is the longest text of an error in a span, in bytes.
const maxErrorText = 256

// ErrorText returns the text of err in a form fit for a span: with secrets
// marked and cut at 256 bytes. A nil err gives "".
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	text := redact.Text(err.Error())
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return validUTF8(text)
}
