package instrument

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
)

// Server returns an observer that counts the requests of service in m and
// makes with t a server span for each, below the caller's if the header tells
// of one and t trusts callers. A nil m, or nil t, leaves metrics or spans out.
func Server(service string, m *metrics.Metrics, t *traces.Provider) transport.ServerObserver {
	s := &server{traces: t}
	if m != nil {
		s.metrics = m.Server(service)
	}
	if t != nil {
		s.tracer = t.Tracer(scope)
	}
	return s
}

// serverSpan is what spans of servers are started with.
var serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

type server struct {
	metrics *metrics.Server
	traces  *traces.Provider
	tracer  trace.Tracer
}

func (s *server) StartRequest(ctx context.Context, q *transport.Request) context.Context {
	if s.metrics != nil {
		s.metrics.Begin(q.Method)
	}
	if s.tracer == nil {
		return ctx
	}
	ctx, opts := s.traces.Incoming(ctx, q.Header)
	if opts == nil {
		if s.traces.Unsampled(ctx) {
			return ctx
		}
		opts = serverSpan
	} else {
		opts = append(opts, serverSpan...)
	}
	ctx, _ = s.tracer.Start(ctx, method(q.Method), opts...)
	return ctx
}

func (s *server) EndRequest(ctx context.Context, q *transport.Request) {
	if s.metrics != nil {
		s.metrics.EndExemplar(ctx, q.Method, q.Route, q.Status, q.Duration)
		if q.Shed != "" {
			s.metrics.Rejected(metrics.Reason(q.Shed), q.Criticality.String())
		}
		if q.Shadowed != "" {
			s.metrics.ShadowRejected(metrics.Reason(q.Shadowed))
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
	attrs := append(make([]attribute.KeyValue, 0, 6),
		attribute.String("http.request.method", method(q.Method)),
		attribute.String("url.path", q.URL.Path),
		attribute.String("url.scheme", scheme(q.Request)),
		attribute.String("client.address", q.RemoteAddr),
		attribute.Int("http.response.status_code", q.Status),
	)
	if q.Route != "" {
		span.SetName(spanName(q))
		attrs = append(attrs, attribute.String("http.route", q.Route))
	}
	if q.Shed != "" {
		attrs = append(attrs, attribute.String("gabion.shed", q.Shed))
	}
	span.SetAttributes(attrs...)
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
