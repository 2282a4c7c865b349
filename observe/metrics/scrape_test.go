package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/metrics"
)

// collector is a collector in one function. It describes nothing, so that the
// registry checks nothing in advance.
type collector func(chan<- prometheus.Metric)

func (c collector) Describe(chan<- *prometheus.Desc)    {}
func (c collector) Collect(ch chan<- prometheus.Metric) { c(ch) }

var errBroken = errors.New("broken")

func constant(name string) prometheus.Metric {
	return prometheus.MustNewConstMetric(prometheus.NewDesc(name, name, nil, nil), prometheus.GaugeValue, 1)
}

func TestScrapeSurvivesReads(t *testing.T) {
	for name, read := range map[string]func(release chan struct{}){
		"panics": func(chan struct{}) { panic("boom") },
		"hangs":  func(release chan struct{}) { <-release },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, reg := newMetrics(t)
				release := make(chan struct{})
				defer close(release)
				var running, most atomic.Int32
				m.AddService("broken", func() metrics.ServiceStats {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					read(release)
					return metrics.ServiceStats{}
				})
				m.AddService("good", func() metrics.ServiceStats { return metrics.ServiceStats{} })
				for range 3 {
					start := time.Now()
					text := scrape(t, reg, "text/plain")
					if took := time.Since(start); took > 2*time.Second {
						t.Errorf("scrape took %v", took)
					}
					if !strings.Contains(text, `gabion_balancer_panic{service="good"} 0`) {
						t.Errorf("the healthy source is missing:\n%s", text)
					}
				}
				if count(t, reg, `gabion_telemetry_dropped_total{signal="metrics"} 4`) != 1 {
					t.Error("failed reads are not counted")
				}
				if got := most.Load(); got != 1 {
					t.Errorf("%d reads at once, want 1 however often it is scraped", got)
				}
			})
		})
	}
}

func TestScrapeSurvivesCollectors(t *testing.T) {
	for name, c := range map[string]func(ch chan<- prometheus.Metric, release chan struct{}){
		"panics": func(chan<- prometheus.Metric, chan struct{}) { panic("boom") },
		"hangs":  func(_ chan<- prometheus.Metric, release chan struct{}) { <-release },
		"errors": func(ch chan<- prometheus.Metric, _ chan struct{}) {
			ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(errBroken), errBroken)
		},
		"duplicates": func(ch chan<- prometheus.Metric, _ chan struct{}) {
			ch <- constant("twice")
			ch <- constant("twice")
		},
		"other type": func(ch chan<- prometheus.Metric, _ chan struct{}) { ch <- constant("http_server_active_requests") },
		"bad UTF-8": func(ch chan<- prometheus.Metric, _ chan struct{}) {
			d := prometheus.NewDesc("bad", "bad", []string{"l"}, nil)
			m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, 1, "\xff")
			if err != nil {
				m = prometheus.NewInvalidMetric(d, err)
			}
			ch <- m
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, reg := newMetrics(t)
				useAll(m)
				release := make(chan struct{})
				defer close(release)
				reg.MustRegister(collector(func(ch chan<- prometheus.Metric) { c(ch, release) }))
				h := metrics.Handler(reg)
				var text string
				for range 3 {
					start := time.Now()
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
					if took := time.Since(start); took >= 10*time.Second {
						t.Errorf("scrape took %v", took)
					}
					if w.Code != 200 {
						t.Fatalf("status %d: %s", w.Code, w.Body)
					}
					text = w.Body.String()
				}
				if !strings.Contains(text, `gabion_breaker_state{service="pricing"} 2`) {
					t.Error("the healthy metrics are missing")
				}
				if !strings.Contains(text, `promhttp_metric_handler_errors_total{cause="gathering"} 2`) {
					t.Errorf("errors are not counted:\n%s", text)
				}
			})
		})
	}
}

// A registry of somebody else has no guard: a collector that hangs there costs
// scrapes, which end in time, but not one goroutine each.
func TestScrapeOfForeignRegistryEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		release := make(chan struct{})
		defer close(release)
		reg.MustRegister(collector(func(chan<- prometheus.Metric) { <-release }))
		h := metrics.Handler(reg)
		for range 12 {
			start := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if took := time.Since(start); w.Code != 503 || took > 10*time.Second {
				t.Errorf("status %d after %v, want 503 within 10 s", w.Code, took)
			}
		}
	})
}

func TestOpenMetricsExemplars(t *testing.T) {
	m, reg := newMetrics(t)
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	m.Client("pricing").RequestExemplar(ctx, "GET", 200, "", 3*time.Millisecond)
	s := m.Server("cart")
	s.Begin("GET")
	s.EndExemplar(ctx, "GET", "/", 200, 3*time.Millisecond)
	s.Begin("GET")
	s.EndExemplar(trace.ContextWithSpanContext(ctx, span.WithTraceFlags(0)), "GET", "/unsampled", 200, 3*time.Millisecond)

	text := scrape(t, reg, "application/openmetrics-text;version=1.0.0")
	if got := strings.Count(text, `# {trace_id="ab000000000000000000000000000000"} 0.003`); got != 2 {
		t.Errorf("%d exemplars, want 2:\n%s", got, text)
	}
	if !strings.HasSuffix(text, "# EOF\n") {
		t.Error("no end mark of OpenMetrics")
	}
}

func TestRegistry(t *testing.T) {
	reg := metrics.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total"})
	reg.MustRegister(c)
	if count(t, reg, "a_total") != 1 {
		t.Error("a registered collector is not gathered")
	}
	if !reg.Unregister(c) || count(t, reg, "a_total") != 0 {
		t.Error("a collector stays after Unregister")
	}
	reg.MustRegister(c)
	defer func() {
		if recover() == nil {
			t.Error("MustRegister of a registered collector does not panic")
		}
	}()
	reg.MustRegister(c)
}

// A rate over a counter misses the first event if the counter begins with it.
func TestCountersBeginAtZero(t *testing.T) {
	m, reg := newMetrics(t)
	defer m.AddService("pricing", func() metrics.ServiceStats { return metrics.ServiceStats{} })()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			if c := metric.GetCounter(); c != nil && c.GetValue() == 0 {
				series[f.GetName()]++
			}
		}
	}
	for name, want := range map[string]int{
		"gabion_client_attempts_total":               6, // each outcome of a first attempt, and a retry
		"gabion_client_retry_budget_exhausted_total": 1,
		"gabion_breaker_transitions_total":           3,
		"gabion_telemetry_dropped_total":             3,
	} {
		if got := series[name]; got != want {
			t.Errorf("%s: %d series at zero, want %d", name, got, want)
		}
	}
}

// A bucket keeps its exemplar for a second; what is slow shows its own at once.
func TestExemplarsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reg := newMetrics(t)
		c := m.Client("pricing")
		call := func(id byte, took time.Duration) {
			c.RequestExemplar(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{id}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
			})), "GET", 200, "", took)
		}
		shown := func(ids ...string) {
			t.Helper()
			text := scrape(t, reg, "application/openmetrics-text;version=1.0.0")
			if got := strings.Count(text, "trace_id="); got != len(ids) {
				t.Errorf("%d exemplars, want %d", got, len(ids))
			}
			for _, id := range ids {
				if !strings.Contains(text, `{trace_id="`+id) {
					t.Errorf("no exemplar %s", id)
				}
			}
		}
		call(0xa1, time.Millisecond)
		call(0xa2, time.Millisecond)
		call(0xb1, time.Minute)
		shown("a1", "b1")
		time.Sleep(time.Second)
		call(0xa3, time.Millisecond)
		shown("a3", "b1")
	})
}
