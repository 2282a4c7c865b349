package traces

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

// samplerFromEnv returns the sampler of OTEL_TRACES_SAMPLER, or nil if it is
// not set.
func samplerFromEnv(getenv func(string) string) (sdktrace.Sampler, error) {
	name := strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_SAMPLER")))
	switch name {
	case "":
		return nil, nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "traceidratio":
		ratio, err := ratioFromEnv(getenv)
		return sdktrace.TraceIDRatioBased(ratio), err
	case "parentbased_traceidratio":
		ratio, err := ratioFromEnv(getenv)
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), err
	}
	return nil, fmt.Errorf("traces: OTEL_TRACES_SAMPLER %.40q: want [parentbased_]always_on, always_off or traceidratio", name)
}

func ratioFromEnv(getenv func(string) string) (float64, error) {
	arg := strings.TrimSpace(getenv("OTEL_TRACES_SAMPLER_ARG"))
	if arg == "" {
		return 1, nil
	}
	ratio, err := strconv.ParseFloat(arg, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) { // not NaN either
		return 1, fmt.Errorf("traces: OTEL_TRACES_SAMPLER_ARG %.40q: want a number from 0 to 1", arg)
	}
	return ratio, nil
}

// propagatorFromEnv returns the propagators that OTEL_PROPAGATORS names, or
// else W3C trace context and baggage.
func propagatorFromEnv(getenv func(string) string) (propagation.TextMapPropagator, error) {
	var names []string
	for name := range strings.SplitSeq(getenv("OTEL_PROPAGATORS"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{"tracecontext", "baggage"}
	}
	p, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_PROPAGATORS: %w", err)
	}
	return p, nil
}

// newResource describes the service: OTEL_RESOURCE_ATTRIBUTES overrides the
// options, and OTEL_SERVICE_NAME overrides all.
func newResource(service string, c config) (*resource.Resource, error) {
	attrs := append([]attribute.KeyValue{
		semconv.ServiceName(service),
		semconv.TelemetrySDKName("opentelemetry"),
		semconv.TelemetrySDKLanguageGo,
	}, c.attributes...)
	fromEnv, err := resourceAttributes(c.getenv("OTEL_RESOURCE_ATTRIBUTES"))
	attrs = append(attrs, fromEnv...)
	if name := strings.TrimSpace(c.getenv("OTEL_SERVICE_NAME")); name != "" {
		attrs = append(attrs, semconv.ServiceName(name))
	}
	return resource.NewWithAttributes(semconv.SchemaURL, attrs...), err // the last of a key wins
}

// resourceAttributes reads key=value pairs, separated by commas and
// percent-encoded.
func resourceAttributes(s string) ([]attribute.KeyValue, error) {
	var attrs []attribute.KeyValue
	var errs []error
	for pair := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || key == "" || err != nil {
			errs = append(errs, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %.40q: want key=value, percent-encoded", pair))
			continue
		}
		attrs = append(attrs, attribute.String(key, value))
	}
	return attrs, errors.Join(errs...)
}

// isDisabled reports whether the environment forbids recording.
func isDisabled(getenv func(string) string) bool {
	return strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true") ||
		strings.EqualFold(strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")), "none")
}
