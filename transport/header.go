package transport

import (
	"context"
	"net/http"
	"strconv"
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
	if len(s) > 10 || !digits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	return min(time.Duration(n)*time.Millisecond, maxTimeout), true
}

// parseGRPCTimeout reads gRPC's form: up to eight digits and a unit.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 || !digits(s[:len(s)-1]) {
		return 0, false
	}
	unit := grpcUnit(s[len(s)-1])
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	if err != nil || unit == 0 {
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

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
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
