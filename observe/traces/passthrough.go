package traces

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// passthrough makes spans that are not recorded. It is used in place of the
// SDK's sampler for nothing, because that would clear the sampled flag on the
// way to services that do record, and would put a span id between them that
// nobody ever exports.
type passthrough struct{ embedded.TracerProvider }

// Tracer implements [trace.TracerProvider].
func (passthrough) Tracer(string, ...trace.TracerOption) trace.Tracer { return passthroughTracer{} }

type passthroughTracer struct{ embedded.Tracer }

// Start returns a span with the ids of the parent, or fresh ones if there is
// no parent or opts ask for a new root. Ending it does nothing.
func (passthroughTracer) Start(ctx context.Context, _ string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	if !parent.IsValid() || len(opts) > 0 && asksForRoot(opts) {
		parent = newRoot()
	}
	ctx = trace.ContextWithSpanContext(ctx, parent)
	return ctx, trace.SpanFromContext(ctx)
}

func asksForRoot(opts []trace.SpanStartOption) bool {
	c := trace.NewSpanStartConfig(opts...)
	return c.NewRoot()
}

// newRoot returns fresh ids, not sampled. They need to be distinct and not
// secret.
func newRoot() trace.SpanContext {
	var c trace.SpanContextConfig
	binary.NativeEndian.PutUint64(c.TraceID[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(c.TraceID[8:], rand.Uint64()|1) // all zeros is no id
	binary.NativeEndian.PutUint64(c.SpanID[:], rand.Uint64()|1)
	return trace.NewSpanContext(c)
}
