package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gabion-go/gabion/observe/metrics"
)

// newMetrics returns Metrics on a registry of their own.
func newMetrics(t testing.TB, opts ...metrics.Option) (*metrics.Metrics, *metrics.Registry) {
	t.Helper()
	reg := metrics.NewRegistry()
	m, err := metrics.New(reg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

// useAll gives every metric of the contract at least one series.
func useAll(m *metrics.Metrics) {
	c := m.Client("pricing")
	c.Request("GET", 200, "", 3*time.Millisecond)
	c.Attempt(metrics.Success, metrics.First)
	c.BudgetExhausted()
	c.Shadow(metrics.ShadowMismatch)
	c.ShadowRejected(metrics.ReasonBreaker)
	c.Shadow(200)
	c.Fallback(metrics.FallbackLastGood, metrics.FallbackMissing)
	c.Fallback(200, 200)
	c.Rejected(metrics.ReasonBulkhead, "sheddable")
	s := m.Server("cart")
	s.Begin("GET")
	s.Begin("GET")
	s.End("GET", "GET /carts/{id}", 200, time.Millisecond)
	s.Rejected(metrics.ReasonConcurrency, "")
	m.BreakerTransition("pricing", "open")
	m.DiscoveryUpdate("gossip", "pricing")
	m.DiscoveryError("gossip", "pricing")
	m.TelemetryDropped("traces", 2)
	m.AddService("pricing", func() metrics.ServiceStats {
		return metrics.ServiceStats{BreakerState: 2, Available: 3, Ejected: 1, ClientInflight: 4, ClientMax: 1024,
			Routes: []metrics.RouteStats{{Route: "GET /offers", Inflight: 2, Max: 5, Rejected: 3}}}
	})
	m.AddServerLimit("cart", func() (int, int) { return 5, 20 })
	m.AddHealth(func() []metrics.HealthResult {
		return []metrics.HealthResult{{Check: "db", Kind: "readiness", Healthy: true}}
	})
	m.AddStaleness("gossip", func() map[string]time.Duration {
		return map[string]time.Duration{"pricing": 1500 * time.Millisecond}
	})
}

// series lists name, type and labels of every series of g, but for values.
func series(t *testing.T, g prometheus.Gatherer) []string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			kind := strings.ToLower(f.GetType().String())
			all = append(all, fmt.Sprintf("%s %s {%s}", f.GetName(), kind, strings.Join(labels, ",")))
		}
	}
	return slices.Compact(all)
}

// count returns how many series g has whose text form contains part.
func count(t *testing.T, g prometheus.Gatherer, part string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(scrape(t, g, "text/plain")) {
		if !strings.HasPrefix(line, "#") && strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func scrape(t *testing.T, g prometheus.Gatherer, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	metrics.Handler(g).ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("scrape: status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Other programs rely on these names: changing one is a breaking change.
func TestNamesTypesAndLabels(t *testing.T) {
	m, reg := newMetrics(t)
	useAll(m)
	want := []string{
		"gabion_balancer_endpoints gauge {service,state}",
		"gabion_balancer_panic gauge {service}",
		"gabion_breaker_state gauge {service}",
		"gabion_breaker_transitions_total counter {service,to}",
		"gabion_build_info gauge {goversion,version}",
		"gabion_client_attempts_total counter {kind,outcome,service}",
		"gabion_client_fallbacks_total counter {kind,outcome,service}",
		"gabion_client_retry_budget_exhausted_total counter {service}",
		"gabion_client_shadows_total counter {result,service}",
		"gabion_discovery_errors_total counter {backend,service}",
		"gabion_discovery_staleness_seconds gauge {backend,service}",
		"gabion_discovery_updates_total counter {backend,service}",
		"gabion_health_status gauge {check,kind}",
		"gabion_limit_inflight gauge {service,side}",
		"gabion_limit_max gauge {service,side}",
		"gabion_limit_rejected_total counter {criticality,reason,service,side}",
		"gabion_route_limit_inflight gauge {route,service}",
		"gabion_route_limit_max gauge {route,service}",
		"gabion_route_limit_rejected_total counter {route,service}",
		"gabion_shadow_ejections_total counter {service}",
		"gabion_shadow_rejected_total counter {reason,service,side}",
		"gabion_telemetry_dropped_total counter {signal}",
		"http_client_request_duration_seconds histogram {error_type,http_request_method,http_response_status_code,server_address}",
		"http_server_active_requests gauge {http_request_method,server_address}",
		"http_server_request_duration_seconds histogram {http_request_method,http_response_status_code,http_route,server_address}",
	}
	if got := series(t, reg); !slices.Equal(got, want) {
		t.Errorf("series:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestValues(t *testing.T) {
	m, reg := newMetrics(t)
	useAll(m)
	text := scrape(t, reg, "text/plain")
	for _, want := range []string{
		`gabion_balancer_endpoints{service="pricing",state="available"} 3`,
		`gabion_balancer_endpoints{service="pricing",state="draining"} 0`,
		`gabion_balancer_endpoints{service="pricing",state="ejected"} 1`,
		`gabion_balancer_panic{service="pricing"} 0`,
		`gabion_breaker_state{service="pricing"} 2`,
		`gabion_breaker_transitions_total{service="pricing",to="open"} 1`,
		`gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 1`,
		`gabion_client_retry_budget_exhausted_total{service="pricing"} 1`,
		`gabion_client_fallbacks_total{kind="_OTHER",outcome="_OTHER",service="pricing"} 1`,
		`gabion_client_fallbacks_total{kind="last_good",outcome="missing",service="pricing"} 1`,
		`gabion_client_shadows_total{result="_OTHER",service="pricing"} 1`,
		`gabion_client_shadows_total{result="mismatch",service="pricing"} 1`,
		`gabion_discovery_staleness_seconds{backend="gossip",service="pricing"} 1.5`,
		`gabion_health_status{check="db",kind="readiness"} 1`,
		`gabion_limit_inflight{service="cart",side="server"} 5`,
		`gabion_limit_inflight{service="pricing",side="client"} 4`,
		`gabion_limit_max{service="cart",side="server"} 20`,
		`gabion_limit_rejected_total{criticality="critical",reason="concurrency",service="cart",side="server"} 1`,
		`gabion_route_limit_inflight{route="GET /offers",service="pricing"} 2`,
		`gabion_route_limit_max{route="GET /offers",service="pricing"} 5`,
		`gabion_route_limit_rejected_total{route="GET /offers",service="pricing"} 3`,
		`gabion_shadow_ejections_total{service="pricing"} 0`,
		`gabion_shadow_rejected_total{reason="breaker",service="pricing",side="client"} 1`,
		`gabion_telemetry_dropped_total{signal="traces"} 2`,
		`http_client_request_duration_seconds_bucket{error_type="",http_request_method="GET",http_response_status_code="200",server_address="pricing",le="0.0025"} 0`,
		`http_client_request_duration_seconds_bucket{error_type="",http_request_method="GET",http_response_status_code="200",server_address="pricing",le="0.005"} 1`,
		`http_server_active_requests{http_request_method="GET",server_address="cart"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="GET /carts/{id}",server_address="cart"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestLint(t *testing.T) {
	m, reg := newMetrics(t)
	useAll(m)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Two services, clients or breakers in one process often meet on one
// registerer (prometheus/client_golang#716).
func TestNewTwice(t *testing.T) {
	for name, reg := range map[string]prometheus.Registerer{
		"plain":           prometheus.NewRegistry(),
		"guarded":         metrics.NewRegistry(),
		"wrapped plain":   prometheus.WrapRegistererWith(prometheus.Labels{"app": "a"}, prometheus.NewRegistry()),
		"wrapped guarded": prometheus.WrapRegistererWith(prometheus.Labels{"app": "a"}, metrics.NewRegistry()),
	} {
		t.Run(name, func(t *testing.T) {
			first, err := metrics.New(reg)
			if err != nil {
				t.Fatal(err)
			}
			second, err := metrics.New(reg)
			if err != nil || second != first {
				t.Errorf("second New = %p, %v; want the first, %p", second, err, first)
			}
		})
	}
}

func TestRegistriesAreIndependent(t *testing.T) {
	m1, reg1 := newMetrics(t)
	_, reg2 := newMetrics(t)
	m1.DiscoveryError("dns", "pricing")
	if got := count(t, reg1, "discovery_errors"); got != 1 {
		t.Errorf("own registry: %d series, want 1", got)
	}
	if got := count(t, reg2, "discovery_errors"); got != 0 {
		t.Errorf("other registry: %d series, want 0", got)
	}
}

func TestNewErrors(t *testing.T) {
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "gabion_discovery_errors_total"}))
	if _, err := metrics.New(taken); err == nil || !strings.Contains(err.Error(), "gabion_discovery_errors_total") {
		t.Errorf("New on a registry that uses a name otherwise: error %v, want one with the name", err)
	}
	_, err := metrics.New(nil, metrics.WithMaxServices(0), metrics.WithMaxRoutes(-1))
	for _, want := range []string{"registerer is nil", "max services 0", "max routes -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with bad settings: error %v, want %q in it", err, want)
		}
	}
}

func TestLabelsStayBounded(t *testing.T) {
	m, reg := newMetrics(t, metrics.WithMaxServices(10), metrics.WithMaxRoutes(10))
	for i := range 500 {
		junk := fmt.Sprintf("x%d\xff\n", i)
		c := m.Client(junk)
		c.Request(junk, i*10, junk, -time.Second)
		c.Attempt(metrics.Outcome(i), metrics.Kind(i))
		c.Rejected(metrics.Reason(junk), junk)
		s := m.Server("cart")
		s.Begin(junk)
		s.End(junk, junk, i, 0)
		m.Server(junk).Rejected(metrics.Reason(junk), junk)
		m.BreakerTransition(junk, junk)
		m.DiscoveryUpdate(junk, junk)
		m.DiscoveryError(junk, junk)
		m.TelemetryDropped(junk, 1)
		m.AddService(junk, func() metrics.ServiceStats { return metrics.ServiceStats{Available: 1, ClientInflight: 1} })
		m.AddHealth(func() []metrics.HealthResult { return []metrics.HealthResult{{Check: junk, Kind: junk}} })
		m.AddStaleness(junk, func() map[string]time.Duration { return map[string]time.Duration{junk: 1} })
	}
	text := scrape(t, reg, "text/plain")
	if !utf8.ValidString(text) {
		t.Error("the text is not valid UTF-8")
	}
	if n := strings.Count(text, "\n"); n > 15000 {
		t.Errorf("%d lines", n)
	}
	for part, most := range map[string]int{
		"gabion_breaker_transitions_total{": 10 * 9, // 11 services share 9 states
		"gabion_discovery_updates_total{":   33,
		"gabion_balancer_panic{":            11,
		"gabion_health_status{":             11,
		"gabion_telemetry_dropped_total{":   9,
		"http_server_active_requests{":      1,
	} {
		if n := strings.Count(text, "\n"+part); n == 0 || n > most {
			t.Errorf("%s: %d series, want 1 to %d", part, n, most)
		}
	}
	if want := `gabion_limit_inflight{service="_overflow",side="client"} 490`; !strings.Contains(text, want) {
		t.Errorf("missing %s", want)
	}
}

func TestRoutesBeyondTheLimitShareOne(t *testing.T) {
	m, reg := newMetrics(t, metrics.WithMaxRoutes(2))
	s := m.Server("cart")
	for _, route := range []string{"", "/a", "/b", "/c", "/d"} {
		s.Begin("GET")
		s.End("GET", route, 200, 0)
	}
	for route, want := range map[string]int{"_unmatched": 1, "/a": 1, "/b": 1, "/c": 0, "_OTHER": 1} {
		if got := count(t, reg, `_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="`+route+`"`); got != want {
			t.Errorf("route %q: %d series, want %d", route, got, want)
		}
	}
}

func TestErrorType(t *testing.T) {
	m, reg := newMetrics(t)
	c := m.Client("pricing")
	c.Request("GET", 503, "", 0)
	c.Request("GET", 0, "timeout", 0)
	c.Request("GET", 0, "dial http://joe:s3cret@db: refused", 0)
	for _, labels := range []string{
		`{error_type="503",http_request_method="GET",http_response_status_code="503"`,
		`{error_type="timeout",http_request_method="GET",http_response_status_code=""`,
		`{error_type="_OTHER",http_request_method="GET",http_response_status_code=""`,
	} {
		if count(t, reg, "_seconds_count"+labels) != 1 {
			t.Errorf("missing %s", labels)
		}
	}
}

// Instances and services come and go for months; their series must go, too
// (afex/hystrix-go#95).
func TestForget(t *testing.T) {
	m, reg := newMetrics(t)
	var kept *metrics.Client
	for i := range 600 {
		name := fmt.Sprintf("service-%d", i)
		kept = m.Client(name)
		kept.Request("GET", 200, "", time.Millisecond)
		kept.Attempt(metrics.Success, metrics.First)
		kept.BudgetExhausted()
		kept.Shadow(metrics.ShadowMatch)
		kept.ShadowRejected(metrics.ReasonBulkhead)
		kept.Fallback(metrics.FallbackValue, metrics.FallbackAnswered)
		kept.Rejected(metrics.ReasonRate, "")
		m.BreakerTransition(name, "open")
		m.DiscoveryUpdate("consul", name)
		m.DiscoveryError("consul", name)
		remove := m.AddService(name, func() metrics.ServiceStats { return metrics.ServiceStats{} })
		scrape(t, reg, "text/plain")
		remove()
		remove()
		m.Forget(name)
	}
	if got := count(t, reg, "service-"); got != 0 {
		t.Errorf("%d series of departed services", got)
	}
	kept.Attempt(metrics.Success, metrics.First)
	if got := count(t, reg, `outcome="success",service="service-599"} 1`); got != 1 {
		t.Errorf("handle used after Forget: %d series, want one that starts from zero", got)
	}
}

func TestForgetKeepsWhatIsShared(t *testing.T) {
	m, reg := newMetrics(t)
	s := m.Server("cart")
	s.Begin("GET")
	s.Rejected(metrics.ReasonRate, "")
	m.Client(metrics.Unknown).Attempt(metrics.Failure, metrics.First)
	m.Forget("cart")
	m.Forget(metrics.Unknown)
	for _, part := range []string{
		`http_server_active_requests{http_request_method="GET",server_address="cart"} 1`,
		`reason="rate",service="cart",side="server"} 1`,
		`outcome="failure",service="_unknown"} 1`,
	} {
		if count(t, reg, part) != 1 {
			t.Errorf("missing %s", part)
		}
	}
}

func TestForgetMakesRoom(t *testing.T) {
	m, reg := newMetrics(t, metrics.WithMaxServices(1))
	m.Client("a").BudgetExhausted()
	m.Forget("a")
	m.Client("b").BudgetExhausted()
	if count(t, reg, `{service="b"}`) != 1 {
		t.Errorf("no series of b after a was forgotten")
	}
}

func TestConcurrentUse(t *testing.T) {
	m, reg := newMetrics(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				name := fmt.Sprintf("s%d", j%5)
				c := m.Client(name)
				c.Request("GET", 200+i, "", 0)
				c.Attempt(metrics.Outcome(i%5), metrics.Retry)
				s := m.Server("cart")
				s.Begin("GET")
				s.End("GET", name, 200, 0)
				remove := m.AddService(name, func() metrics.ServiceStats { return metrics.ServiceStats{} })
				if j%20 == 0 {
					m.Forget(name)
					if _, err := reg.Gather(); err != nil {
						t.Error(err)
					}
				}
				remove()
			}
		})
	}
	wg.Wait()
	if count(t, reg, `http_server_active_requests{http_request_method="GET",server_address="cart"} 0`) != 1 {
		t.Error("active requests are not back at 0")
	}
}

func TestTwoSourcesOfOneServiceAreMerged(t *testing.T) {
	m, reg := newMetrics(t)
	m.AddService("pricing", func() metrics.ServiceStats {
		return metrics.ServiceStats{BreakerState: -1, Available: 3, ClientInflight: 1, ClientMax: 10,
			Routes: []metrics.RouteStats{{Route: "/b", Inflight: 1, Max: 2, Rejected: 3}}}
	})
	m.AddService("pricing", func() metrics.ServiceStats {
		return metrics.ServiceStats{BreakerState: 1, Available: 2, Panic: true, ClientInflight: 2, ClientMax: 10,
			Routes: []metrics.RouteStats{{Route: "/a", Max: 1}, {Route: "/b", Inflight: 4, Max: 5, Rejected: 6}}}
	})
	m.AddServerLimit("cart", func() (int, int) { return 1, 20 })
	m.AddServerLimit("cart", func() (int, int) { return 2, 30 })
	for _, healthy := range []bool{true, false, true} {
		m.AddHealth(func() []metrics.HealthResult {
			return []metrics.HealthResult{{Check: "db", Kind: "readiness", Healthy: healthy}}
		})
	}
	for range 10 { // sources are read in no fixed order
		assertMerged(t, scrape(t, reg, "text/plain"))
	}
}

func assertMerged(t *testing.T, text string) {
	t.Helper()
	for _, want := range []string{
		`gabion_breaker_state{service="pricing"} 1`,
		`gabion_balancer_endpoints{service="pricing",state="available"} 3`,
		`gabion_balancer_panic{service="pricing"} 1`,
		`gabion_limit_inflight{service="pricing",side="client"} 3`,
		`gabion_limit_max{service="pricing",side="client"} 20`,
		`gabion_limit_max{service="cart",side="server"} 50`,
		`gabion_health_status{check="db",kind="readiness"} 0`,
		`gabion_route_limit_max{route="/a",service="pricing"} 1`,
		`gabion_route_limit_inflight{route="/b",service="pricing"} 5`,
		`gabion_route_limit_max{route="/b",service="pricing"} 7`,
		`gabion_route_limit_rejected_total{route="/b",service="pricing"} 9`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
}

func TestNoBreakerNoState(t *testing.T) {
	m, reg := newMetrics(t)
	m.AddService("pricing", func() metrics.ServiceStats { return metrics.ServiceStats{BreakerState: -1} })
	if got := count(t, reg, "gabion_breaker_state"); got != 0 {
		t.Errorf("%d series, want none", got)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	m, _ := newMetrics(t, metrics.WithMaxRoutes(1))
	c, s := m.Client("pricing"), m.Server("cart")
	for name, f := range map[string]func(){
		"Request":       func() { c.Request("GET", 200, "", time.Millisecond) },
		"Request error": func() { c.Request("GET", 0, "timeout", time.Millisecond) },
		"Exemplar":      func() { c.RequestExemplar(t.Context(), "GET", 200, "", time.Millisecond) },
		"Attempt":       func() { c.Attempt(metrics.Success, metrics.Retry) },
		"Budget":        func() { c.BudgetExhausted() },
		"Shadow":        func() { c.Shadow(metrics.ShadowMatch) },
		"Spared":        func() { c.ShadowRejected(metrics.ReasonBreaker) },
		"Fallback":      func() { c.Fallback(metrics.FallbackValue, metrics.FallbackAnswered) },
		"Rejected":      func() { c.Rejected(metrics.ReasonBulkhead, "critical") },
		"Begin and End": func() { s.Begin("POST"); s.End("POST", "POST /carts", 201, time.Millisecond) },
		"other route":   func() { s.Begin("POST"); s.End("POST", "POST /other", 201, time.Millisecond) },
		"Client":        func() { m.Client("pricing") },
		"Server":        func() { m.Server("cart") },
	} {
		t.Run(name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, f); got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}

func BenchmarkClientRequest(b *testing.B) {
	m, _ := newMetrics(b)
	c := m.Client("pricing")
	b.ReportAllocs()
	for b.Loop() {
		c.Request("GET", 200, "", 3*time.Millisecond)
	}
}

func BenchmarkServerRequest(b *testing.B) {
	m, _ := newMetrics(b)
	s := m.Server("cart")
	b.ReportAllocs()
	for b.Loop() {
		s.Begin("GET")
		s.End("GET", "GET /carts/{id}", 200, 3*time.Millisecond)
	}
}

// Routes with limits of their own are bounded, too: those beyond the bound, and
// names too long for a label, share one.
func TestRouteLimitsAreBounded(t *testing.T) {
	m, reg := newMetrics(t, metrics.WithMaxRoutes(2))
	m.AddService("pricing", func() metrics.ServiceStats {
		return metrics.ServiceStats{Routes: []metrics.RouteStats{
			{Route: "/d", Max: 8}, {Route: "/b\xff", Max: 2}, {Route: "/c", Max: 4}, {Route: "/a" + strings.Repeat("a", 1000), Max: 1},
		}}
	})
	text := scrape(t, reg, "text/plain")
	for _, want := range []string{
		"gabion_route_limit_max{route=\"/b\ufffd\",service=\"pricing\"} 2",
		`gabion_route_limit_max{route="_OTHER",service="pricing"} 13`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s in\n%s", want, text)
		}
	}
	if n := count(t, reg, "gabion_route_limit_max{"); n != 2 {
		t.Errorf("%d routes, want 2", n)
	}
}
