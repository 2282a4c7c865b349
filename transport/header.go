package transport

import (
	"context"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// Headers that gabion's clients and servers speak, in canonical form.
const (
	// HeaderTimeout carries the milliseconds that are left to the caller.
	HeaderTimeout = "X-Envoy-Expected-Rq-Timeout-Ms"
	// HeaderAttempt is 1 for the first attempt of a call.
	HeaderAttempt = "X-Envoy-Attempt-Count"
	// HeaderCriticality is one of critical_plus, critical, sheddable_plus and
	// sheddable.
	HeaderCriticality = "X-Gabion-Criticality"
	// HeaderNoRetry marks an error of a server that has already retried
	// downstream, or whose circuit for a service downstream is open: callers
	// above do not retry again, and do not blame the server. Neither its
	// endpoint nor its circuit counts it.
	HeaderNoRetry = "X-Gabion-No-Retry"
	// HeaderShed marks a 503 that was answered before any work was done.
	HeaderShed = "X-Gabion-Shed"
	// HeaderLoad carries a server's load report in ORCA's text form.
	HeaderLoad = "Endpoint-Load-Metrics"
	// HeaderIdempotencyKey makes a POST or PATCH retryable.
	HeaderIdempotencyKey = "Idempotency-Key"
)

// Other spellings of the caller's deadline that servers honour.
const (
	headerConnectTimeout = "Connect-Timeout-Ms"
	headerGRPCTimeout    = "Grpc-Timeout"
)

// maxTimeout is the longest time that a header can ask for; more is cut.
const maxTimeout = 24 * time.Hour

// CallerTimeout returns the least time that any of the request's headers gives
// it: X-Envoy-Expected-Rq-Timeout-Ms, Connect-Timeout-Ms and Grpc-Timeout. ok
// is false when none is there that can be understood.
func CallerTimeout(h http.Header) (d time.Duration, ok bool) {
	d, ok = parseMillis(first(h, HeaderTimeout))
	if v, valid := parseMillis(first(h, headerConnectTimeout)); valid && (!ok || v < d) {
		d, ok = v, true
	}
	if v, valid := parseGRPCTimeout(first(h, headerGRPCTimeout)); valid && (!ok || v < d) {
		d, ok = v, true
	}
	return d, ok
}

// first is h.Get of a name that is in canonical form already.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// parseMillis reads a decimal number of milliseconds of at most ten digits.
func parseMillis(s string) (time.Duration, bool) {
	n, ok := number(s, 10)
	if !ok {
		return 0, false
	}
	return min(time.Duration(n)*time.Millisecond, maxTimeout), true
}

// parseGRPCTimeout reads gRPC's form: up to eight digits and a unit.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	unit := grpcUnit(s[len(s)-1])
	n, ok := number(s[:len(s)-1], 8)
	if !ok || unit == 0 {
		return 0, false
	}
	if time.Duration(n) > maxTimeout/unit {
		return maxTimeout, true
	}
	return time.Duration(n) * unit, true
}

// grpcUnit returns what a gRPC timeout is given in, or 0 for what is no unit.
func grpcUnit(c byte) time.Duration {
	switch c {
	case 'H':
		return time.Hour
	case 'M':
		return time.Minute
	case 'S':
		return time.Second
	case 'm':
		return time.Millisecond
	case 'u':
		return time.Microsecond
	case 'n':
		return time.Nanosecond
	default:
		return 0
	}
}

// number reads a decimal number of at most so many digits, of which 18 always fit,
// and nothing else.
func number(s string, most int) (n int64, ok bool) {
	if s == "" || len(s) > most {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// criticalityKey is the context key of a call's criticality.
type criticalityKey struct{}

// WithCriticality returns a context whose calls are of criticality c, on this
// hop and all that follow.
func WithCriticality(ctx context.Context, c limit.Criticality) context.Context {
	return context.WithValue(ctx, criticalityKey{}, c)
}

// CriticalityOf returns the criticality of ctx and whether one was set.
func CriticalityOf(ctx context.Context) (limit.Criticality, bool) {
	c, ok := ctx.Value(criticalityKey{}).(limit.Criticality)
	return c, ok
}
