package traces

import (
	"context"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// What nearly every request carries is a traceparent of version 00 and nothing
// else. It is read and written here, without the propagator, which takes five
// times as long. Everything else is the propagator's.

// traceparentLength is that of "00-<trace id>-<span id>-<flags>".
const traceparentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2

const knownFlags = trace.FlagsSampled | trace.FlagsRandom

// extract returns ctx with what the headers say.
func (p *Provider) extract(ctx context.Context, h http.Header) context.Context {
	parent := h["Traceparent"]
	switch {
	case !p.w3c || len(parent) > 1 || h["Tracestate"] != nil || h["Baggage"] != nil:
	case parent == nil:
		return ctx
	default:
		if sc, ok := parseTraceparent(parent[0]); ok {
			return trace.ContextWithRemoteSpanContext(ctx, sc)
		}
	}
	return p.propagator.Extract(ctx, headers(h))
}

// inject writes what ctx carries into the headers.
func (p *Provider) inject(ctx context.Context, h http.Header) {
	sc := trace.SpanContextFromContext(ctx)
	if !p.w3c || sc.TraceState().Len() > 0 || baggage.FromContext(ctx).Len() > 0 {
		p.propagator.Inject(ctx, headers(h))
		return
	}
	if sc.IsValid() {
		h["Traceparent"] = []string{traceparent(sc)}
	}
}

// parseTraceparent reads a valid traceparent of version 00.
func parseTraceparent(s string) (sc trace.SpanContext, ok bool) {
	if len(s) != traceparentLength || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return sc, false
	}
	var c trace.SpanContextConfig
	var flags [1]byte
	if !unhex(c.TraceID[:], s[3:35]) || !unhex(c.SpanID[:], s[36:52]) || !unhex(flags[:], s[53:]) {
		return sc, false
	}
	c.TraceFlags = trace.TraceFlags(flags[0])
	if c.TraceFlags&^knownFlags != 0 {
		return sc, false
	}
	c.Remote = true
	sc = trace.NewSpanContext(c)
	return sc, sc.IsValid()
}

func traceparent(sc trace.SpanContext) string {
	traceID, spanID, flags := sc.TraceID(), sc.SpanID(), [1]byte{byte(sc.TraceFlags() & knownFlags)}
	b := make([]byte, 0, traceparentLength)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, flags[:])
	return string(b)
}

// unhex decodes s, lower-case digits only, into dst of half its length.
func unhex(dst []byte, s string) bool {
	bad := byte(0)
	for i := range dst {
		hi, lo := nibbles[s[2*i]], nibbles[s[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo
	}
	return bad <= 0xf
}

// nibbles are the values of lower-case hexadecimal digits, and more than 0xf for
// all else.
var nibbles = func() (values [256]byte) {
	for c := range values {
		values[c] = 0xff
	}
	for v, c := range []byte("0123456789abcdef") {
		values[c] = byte(v)
	}
	return values
}()

// isW3C reports whether p reads and writes trace context and baggage of the W3C,
// and nothing else.
func isW3C(p propagation.TextMapPropagator) bool {
	fields := map[string]bool{}
	for _, f := range p.Fields() {
		fields[f] = true
	}
	return len(fields) == 3 && fields["traceparent"] && fields["tracestate"] && fields["baggage"]
}
