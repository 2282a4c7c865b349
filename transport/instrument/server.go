package instrument

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/transport"
)

// Server returns an observer that counts the requests of service in m and
// makes a server span for each, below the caller's if prop finds one in the
// header. A nil m, or nil tp, leaves metrics or spans out.
func Server(service string, m *metrics.Metrics, tp trace.TracerProvider, prop propagation.TextMapPropagator) transport.ServerObserver {
	s := &server{prop: prop}
	if m != nil {
		s.metrics = m.Server(service)
	}
	if tp != nil {
		s.tracer = tp.Tracer(scope)
	}
	return s
}

type server struct {
	metrics *metrics.Server
	tracer  trace.Tracer
	prop    propagation.TextMapPropagator
}

func (s *server) StartRequest(ctx context.Context, q *transport.Request) context.Context {
	if s.metrics != nil {
		s.metrics.Begin(q.Method)
	}
	if s.prop != nil {
		ctx = s.prop.Extract(ctx, propagation.HeaderCarrier(q.Header))
	}
	if s.tracer == nil {
		return ctx
	}
	ctx, span := s.tracer.Start(ctx, method(q.Method), trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("http.request.method", method(q.Method)),
			attribute.String("url.path", q.URL.Path),
			attribute.String("url.scheme", scheme(q.Request)),
			attribute.String("client.address", q.RemoteAddr),
		)
	}
	return ctx
}

func (s *server) EndRequest(ctx context.Context, q *transport.Request) {
	if s.metrics != nil {
		s.metrics.EndExemplar(ctx, q.Method, q.Route, q.Status, q.Duration)
		if q.Shed != "" {
			s.metrics.Rejected(metrics.Reason(q.Shed), q.Criticality.String())
		}
	}
	if s.tracer == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		s.describe(span, q)
	}
	span.End()
}

func (s *server) describe(span trace.Span, q *transport.Request) {
	span.SetAttributes(attribute.Int("http.response.status_code", q.Status))
	if q.Route != "" {
		span.SetName(spanName(q))
		span.SetAttributes(attribute.String("http.route", q.Route))
	}
	if q.Shed != "" {
		span.SetAttributes(attribute.String("gabion.shed", q.Shed))
	}
	if q.Status >= 500 { // by convention, 4xx is no error of a server
		span.SetStatus(codes.Error, http.StatusText(q.Status))
	}
}

// spanName is the method and the route. Patterns may carry the method already.
func spanName(q *transport.Request) string {
	for i := range len(q.Route) {
		if q.Route[i] == ' ' {
			return q.Route
		}
		if q.Route[i] == '/' {
			break
		}
	}
	return method(q.Method) + " " + q.Route
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
