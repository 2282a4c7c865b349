package observe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gabion-go/gabion/observe"
	"github.com/gabion-go/gabion/observe/logs"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
)

func env(pairs ...string) observe.Option {
	return observe.WithEnv(func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	})
}

func newTelemetry(t *testing.T, opts ...observe.Option) *observe.Telemetry {
	t.Helper()
	tel, err := observe.New("cart", append([]observe.Option{env(), observe.WithOutput(io.Discard)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) }) // its result is tested elsewhere
	return tel
}

func scrape(tel *observe.Telemetry) string {
	w := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

type brokenExporter struct{}

func (brokenExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("refused")
}
func (brokenExporter) Shutdown(context.Context) error { return nil }

func TestWhatIsLostIsCounted(t *testing.T) {
	tel := newTelemetry(t, observe.WithOutput(brokenWriter{}), observe.WithSpanExporter(brokenExporter{}))
	tel.Logger().Info("one")
	for range 3 {
		_, span := tel.Traces().Tracer("test").Start(t.Context(), "op")
		span.End()
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	text := scrape(tel)
	for _, want := range []string{`gabion_telemetry_dropped_total{signal="traces"} 3`, `gabion_telemetry_dropped_total{signal="logs"} 2`} {
		if !strings.Contains(text, want) { // the second log record tells of the export
			t.Errorf("missing %s", want)
		}
	}
}

func TestLogsCarryTheTrace(t *testing.T) {
	var log bytes.Buffer
	tel := newTelemetry(t, observe.WithOutput(&log))
	ctx, span := tel.Traces().Tracer("test").Start(t.Context(), "op")
	defer span.End()
	tel.Logger().InfoContext(ctx, "hi")
	if want := `"trace_id":"` + span.SpanContext().TraceID().String() + `"`; !strings.Contains(log.String(), want) {
		t.Errorf("log %s: want %s in it", log.String(), want)
	}
}

func TestEnvironmentNamesTheService(t *testing.T) {
	var log bytes.Buffer
	rec := tracetest.NewSpanRecorder()
	tel := newTelemetry(t, env("OTEL_SERVICE_NAME", "cart-canary", "GABION_LOG", "debug", "GABION_LOG_FORMAT", "ecs"),
		observe.WithOutput(&log), observe.WithVersion("v2"), observe.WithLogs(logs.WithLevel(slog.LevelError)),
		observe.WithTraces(traces.WithSpanProcessor(rec)))
	tel.Logger().Debug("hi")
	if !strings.Contains(log.String(), `"service.name":"cart-canary"`) {
		t.Errorf("log %s", log.String())
	}
	_, span := tel.Traces().Tracer("test").Start(t.Context(), "op")
	span.End()
	if res := rec.Ended()[0].Resource().String(); !strings.Contains(res, "service.name=cart-canary") || !strings.Contains(res, "service.version=v2") {
		t.Errorf("resource %s", res)
	}
	tel.Level().Set(slog.LevelError)
	log.Reset()
	tel.Logger().Warn("hi")
	if log.Len() > 0 {
		t.Errorf("log %s at level error", log.String())
	}
}

// Two applications in one process do not meet, and no library's globals move.
func TestNothingIsGlobal(t *testing.T) {
	logger, tp, prop := slog.Default(), otel.GetTracerProvider(), otel.GetTextMapPropagator()
	before := defaultMetrics(t)
	a, b := newTelemetry(t), newTelemetry(t)
	a.Metrics().Client("pricing").BudgetExhausted()
	if text := scrape(b); strings.Contains(text, "pricing") {
		t.Error("metrics of one service show in the other")
	}
	a.Level().Set(slog.LevelError)
	if b.Level().Level() != slog.LevelInfo {
		t.Error("the level of one service changed that of the other")
	}
	if slog.Default() != logger || otel.GetTracerProvider() != tp || otel.GetTextMapPropagator() != prop {
		t.Error("a global changed")
	}
	if after := defaultMetrics(t); !slices.Equal(before, after) {
		t.Errorf("the default registry changed from %q to %q", before, after)
	}
}

func defaultMetrics(t *testing.T) []string {
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	return names
}

func TestOwnRegistry(t *testing.T) {
	tel := newTelemetry(t)
	text := scrape(tel)
	for _, want := range []string{"go_goroutines", "gabion_build_info"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %s", want)
		}
	}
	if problems, err := testutil.GatherAndLint(tel.Gatherer()); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestGivenParts(t *testing.T) {
	reg := prometheus.NewRegistry()
	var log bytes.Buffer
	given := slog.New(slog.NewTextHandler(&log, nil))
	a := newTelemetry(t, observe.WithRegistry(reg, reg), observe.WithLogger(given), env("GABION_LOG", "loud"))
	b := newTelemetry(t, observe.WithRegistry(reg, reg), observe.WithMetrics(metrics.WithMaxServices(5)))
	if a.Metrics() != b.Metrics() || a.Registry() != prometheus.Registerer(reg) {
		t.Error("two services on one registry do not share its metrics")
	}
	if a.Logger() != given {
		t.Error("the given logger is not used")
	}
}

func TestErrors(t *testing.T) {
	_, err := observe.New("cart", env("GABION_LOG", "loud"), observe.WithMetrics(metrics.WithMaxServices(-1)))
	for _, want := range []string{"observe: ", `GABION_LOG: logs: level "loud"`, "max services -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want in it %s", err, want)
		}
	}
	if _, err = observe.New("cart", env("OTEL_PROPAGATORS", "morse")); err == nil || !strings.Contains(err.Error(), "morse") {
		t.Errorf("bad propagator: %v", err)
	}
	if _, err = observe.New("cart", env(), observe.WithRegistry(prometheus.NewRegistry(), nil)); err == nil {
		t.Error("a registerer without gatherer is accepted")
	}
}
