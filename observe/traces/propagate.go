package traces

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
)

// Longest header values that are read, in bytes. W3C asks to carry at least 512
// of tracestate and 8192 of baggage.
const (
	maxHeader     = 512
	maxTracestate = 2048
	maxBaggage    = 8192
)

// bounded is a propagator that is not shown headers which nobody honest sends.
type bounded struct{ propagation.TextMapPropagator }

// Extract implements [propagation.TextMapPropagator].
func (b bounded) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	return b.TextMapPropagator.Extract(ctx, carrier{c})
}

// carrier hides values of unreasonable size or form.
type carrier struct{ propagation.TextMapCarrier }

// Get implements [propagation.TextMapCarrier].
func (c carrier) Get(key string) string {
	switch strings.ToLower(key) {
	case "tracestate":
		return c.joined(key, maxTracestate)
	case "baggage":
		return c.baggage()
	}
	values := c.all(key)
	if len(values) != 1 || len(values[0]) > maxHeader {
		return "" // of two trace parents none is more likely to be right
	}
	return values[0]
}

// Values implements [propagation.ValuesGetter], with what Get returns.
func (c carrier) Values(key string) []string {
	if v := c.Get(key); v != "" {
		return []string{v}
	}
	return nil
}

// baggage returns the baggage if it is well formed: the propagator would write
// errors, which quote the header, to a global handler.
func (c carrier) baggage() string {
	value := c.joined("baggage", maxBaggage)
	if value == "" {
		return ""
	}
	if _, err := baggage.Parse(value); err != nil {
		return ""
	}
	return value
}

// joined returns all values as one list, or nothing if it is longer than most.
func (c carrier) joined(key string, most int) string {
	values := c.all(key)
	length := len(values)
	for _, v := range values {
		length += len(v)
	}
	if length > most+1 {
		return ""
	}
	return strings.Join(values, ",")
}

func (c carrier) all(key string) []string {
	if multi, ok := c.TextMapCarrier.(propagation.ValuesGetter); ok {
		return multi.Values(key)
	}
	if v := c.TextMapCarrier.Get(key); v != "" {
		return []string{v}
	}
	return nil
}

// headers carries context in HTTP header fields. It knows the canonical form of
// the usual ones, which [propagation.HeaderCarrier] computes each time.
type headers http.Header

// Get implements [propagation.TextMapCarrier].
func (h headers) Get(key string) string {
	if v := h[canonical(key)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values implements [propagation.ValuesGetter].
func (h headers) Values(key string) []string { return h[canonical(key)] }

// Set implements [propagation.TextMapCarrier].
func (h headers) Set(key, value string) { h[canonical(key)] = []string{value} }

// Keys implements [propagation.TextMapCarrier].
func (h headers) Keys() []string { return slices.Collect(maps.Keys(h)) }

func canonical(key string) string {
	switch key {
	case "traceparent":
		return "Traceparent"
	case "tracestate":
		return "Tracestate"
	case "baggage":
		return "Baggage"
	}
	return http.CanonicalHeaderKey(key)
}
