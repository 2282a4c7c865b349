package instrument

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// scope is the instrumentation scope of all spans.
const scope = "github.com/gabion-go/gabion/transport"

// Client returns an observer that counts calls and attempts in m, shows the
// state of every called service there, and makes with t a span for each call
// and one below it for each attempt, whose context travels in the request's
// header. A nil m, or nil t, leaves metrics or spans out.
func Client(m *metrics.Metrics, t *traces.Provider) transport.Observer {
	c := &client{metrics: m, traces: t}
	if t != nil {
		c.tracer = t.Tracer(scope)
	}
	return c
}

type client struct {
	metrics *metrics.Metrics
	traces  *traces.Provider
	tracer  trace.Tracer
	handles sync.Map // service name -> *metrics.Client
}

// handle returns the metrics of a service. Names that never resolved share
// one.
func (c *client) handle(call *transport.Call) *metrics.Client {
	name := call.Service
	if !call.Resolved {
		name = metrics.Unknown
	}
	if h, ok := c.handles.Load(name); ok {
		return h.(*metrics.Client)
	}
	h, _ := c.handles.LoadOrStore(name, c.metrics.Client(name))
	return h.(*metrics.Client)
}

func (c *client) StartCall(ctx context.Context, call *transport.Call) context.Context {
	if c.tracer == nil || c.traces.Unsampled(ctx) {
		return ctx
	}
	ctx, span := c.tracer.Start(ctx, method(call.Method)+" "+call.Service)
	call.Explain = span.IsRecording() && span.SpanContext().IsSampled()
	return ctx
}

func (c *client) EndCall(ctx context.Context, call *transport.Call) {
	if c.metrics != nil {
		c.count(ctx, call)
	}
	if c.tracer == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		describe(span, call.Status, call.Err, call.Outcome, append(make([]attribute.KeyValue, 0, 4),
			attribute.String("http.request.method", method(call.Method)),
			attribute.String("server.address", call.Service),
			attribute.Int("gabion.attempts", call.Attempts),
		))
	}
	span.End()
}

func (c *client) count(ctx context.Context, call *transport.Call) {
	h := c.handle(call)
	h.RequestExemplar(ctx, call.Method, call.Status, errorType(call.Err, call.Outcome), call.Duration)
	if call.BudgetExhausted {
		h.BudgetExhausted()
	}
	for _, limit := range call.Shadowed {
		h.ShadowRejected(metrics.Reason(limit))
	}
	if call.Attempts > 0 {
		return
	}
	h.Attempt(attemptOutcome(call.Outcome), metrics.First)
	if reason, limited := rejection(call.Err); limited {
		h.Rejected(reason, call.Criticality.String())
	}
}

// rejection returns the limit that refused a call, if one did.
func rejection(err error) (metrics.Reason, bool) {
	switch {
	case errors.Is(err, transport.ErrBulkheadFull):
		return metrics.ReasonBulkhead, true
	case errors.Is(err, breaker.ErrOpen):
		return metrics.ReasonBreaker, true
	case errors.Is(err, limit.ErrThrottled):
		return metrics.ReasonThrottle, true
	default:
		return "", false
	}
}

func (c *client) StartAttempt(ctx context.Context, call *transport.Call, a *transport.Attempt) context.Context {
	if c.tracer == nil {
		return ctx
	}
	if !c.traces.Unsampled(ctx) {
		ctx = c.startSpan(ctx, call, a)
	}
	c.traces.Outgoing(ctx, a.Header)
	return ctx
}

// clientSpan is what spans of attempts are started with.
var clientSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}

func (c *client) startSpan(ctx context.Context, call *transport.Call, a *transport.Attempt) context.Context {
	ctx, span := c.tracer.Start(ctx, method(call.Method), clientSpan...)
	if a.Pick != nil && span.IsRecording() {
		span.AddEvent("gabion.pick", trace.WithAttributes(pick(a.Pick)...))
	}
	return ctx
}

func (c *client) EndAttempt(ctx context.Context, call *transport.Call, a *transport.Attempt) {
	if c.metrics != nil {
		c.handle(call).Attempt(attemptOutcome(a.Outcome), attemptKind(a.Kind))
	}
	if c.tracer == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		describe(span, a.Status, a.Err, a.Outcome, attributes(call, a))
	}
	span.End()
}

// attributes returns those of an attempt's span, with room for its status.
func attributes(call *transport.Call, a *transport.Attempt) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 6),
		attribute.String("http.request.method", method(call.Method)),
		attribute.String("server.address", call.Service),
		attribute.String("network.peer.address", a.Instance.Addr),
		attribute.String("gabion.instance.id", a.Instance.ID),
		attribute.String("gabion.attempt.kind", a.Kind.String()),
	)
	if a.N > 1 {
		attrs = append(attrs, attribute.Int("http.request.resend_count", a.N-1))
	}
	return attrs
}

// Shadow counts what came of a request that was sent a second time.
func (c *client) Shadow(s transport.Shadow) {
	if c.metrics == nil {
		return
	}
	result := metrics.ShadowDropped
	switch s.Result {
	case transport.ShadowMatch:
		result = metrics.ShadowMatch
	case transport.ShadowMismatch:
		result = metrics.ShadowMismatch
	case transport.ShadowError:
		result = metrics.ShadowError
	}
	c.metrics.Client(s.Service).Shadow(result)
}

// Fallback counts a fallback that was tried for a call.
func (c *client) Fallback(e transport.FallbackEvent) {
	if c.metrics == nil {
		return
	}
	name := e.Service
	if !e.Resolved {
		name = metrics.Unknown
	}
	c.metrics.Client(name).Fallback(fallbackKind(e.Kind), fallbackOutcome(e.Outcome))
}

func (c *client) StartService(s transport.ServiceState) func() {
	if c.metrics == nil {
		return nil
	}
	unsubscribe := s.Breaker.Subscribe(func(e breaker.Event) {
		c.metrics.BreakerTransition(s.Name, e.To.String())
	})
	remove := c.metrics.AddService(s.Name, func() metrics.ServiceStats {
		b := s.Balancer.Stats()
		return metrics.ServiceStats{
			BreakerState: int(s.Breaker.State()),
			// Whoever is out of balancing counts as ejected, for whatever reason.
			Available: b.Available, Ejected: b.Ejected + b.Unreachable, Draining: b.Draining, Panic: b.Panic,
			ClientInflight: s.Bulkhead.InFlight(), ClientMax: s.Bulkhead.Max(),
			ShadowEjections: s.Balancer.ShadowEjections(), Routes: routes(s),
		}
	})
	return func() {
		unsubscribe()
		remove()
		c.handles.Delete(s.Name)
		c.metrics.Forget(s.Name)
	}
}

// routes returns the state of the limits that routes have of their own.
func routes(s transport.ServiceState) []metrics.RouteStats {
	var all []metrics.RouteStats
	for _, r := range s.RouteLimits() {
		all = append(all, metrics.RouteStats{Route: r.Route, Inflight: r.InFlight, Max: r.Max, Rejected: r.Refused})
	}
	return all
}

// describe puts attrs on a span, and how it ended. All attributes are set at
// once, at the end: each time costs the SDK an allocation or two.
func describe(span trace.Span, status int, err error, o transport.Outcome, attrs []attribute.KeyValue) {
	if status != 0 {
		attrs = append(attrs, attribute.Int("http.response.status_code", status))
	}
	switch {
	case err != nil:
		kind := errorType(err, o)
		attrs = append(attrs, attribute.String("error.type", kind))
		span.SetStatus(codes.Error, kind) // the text of an error may hold what no trace should
	case status >= 400:
		attrs = append(attrs, attribute.String("error.type", strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attrs...)
}

// errorType is a word of few for why a call failed, empty if it did not.
func errorType(err error, o transport.Outcome) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, breaker.ErrOpen):
		return "breaker_open"
	case errors.Is(err, limit.ErrThrottled):
		return "throttled"
	case errors.Is(err, transport.ErrBulkheadFull):
		return "bulkhead_full"
	case errors.Is(err, transport.ErrNoInstances):
		return "no_instances"
	case errors.Is(err, transport.ErrBodyTooLarge):
		return "body_too_large"
	case errors.Is(err, transport.ErrHeaderTooLarge):
		return "header_too_large"
	case o == transport.Timeout:
		return "timeout"
	case o == transport.Cancelled:
		return "cancelled"
	default:
		return "connection"
	}
}

func attemptKind(k transport.AttemptKind) metrics.Kind {
	switch k {
	case transport.Retry:
		return metrics.Retry
	case transport.Hedge:
		return metrics.Hedge
	default:
		return metrics.First
	}
}

func fallbackKind(k transport.FallbackKind) metrics.Fallback {
	switch k {
	case transport.FallbackFunction:
		return metrics.FallbackFunction
	case transport.FallbackLastGood:
		return metrics.FallbackLastGood
	case transport.FallbackService:
		return metrics.FallbackService
	default:
		return metrics.FallbackValue
	}
}

func fallbackOutcome(o transport.FallbackOutcome) metrics.FallbackOutcome {
	switch o {
	case transport.FallbackAnswered:
		return metrics.FallbackAnswered
	case transport.FallbackMissing:
		return metrics.FallbackMissing
	case transport.FallbackFailed:
		return metrics.FallbackFailed
	default:
		return metrics.FallbackRefused
	}
}

func attemptOutcome(o transport.Outcome) metrics.Outcome {
	switch o {
	case transport.Success:
		return metrics.Success
	case transport.Rejected:
		return metrics.Rejected
	case transport.Cancelled:
		return metrics.Cancelled
	case transport.Timeout:
		return metrics.Timeout
	default:
		return metrics.Failure
	}
}

// method bounds what an HTTP method can be in names and attributes.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY":
		return m
	case "":
		return "GET"
	default:
		return metrics.Other
	}
}
