package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gabion-go/gabion/observe/metrics"
)

func Example() {
	reg := metrics.NewRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		panic(err)
	}
	pricing := m.Client("pricing")
	pricing.Attempt(metrics.Timeout, metrics.First)
	pricing.Attempt(metrics.Success, metrics.Retry)
	pricing.Request("GET", 200, "", 42*time.Millisecond)

	w := httptest.NewRecorder()
	metrics.Handler(reg).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "gabion_client_attempts_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// gabion_client_attempts_total{kind="first",outcome="timeout",service="pricing"} 1
	// gabion_client_attempts_total{kind="retry",outcome="success",service="pricing"} 1
}

// A gauge that is read when Prometheus asks is never out of date.
func ExampleMetrics_AddService() {
	reg := metrics.NewRegistry()
	m, _ := metrics.New(reg)
	state := 0
	remove := m.AddService("pricing", func() metrics.ServiceStats {
		return metrics.ServiceStats{BreakerState: state, Available: 3}
	})
	defer remove()

	state = 2
	w := httptest.NewRecorder()
	metrics.Handler(reg).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "gabion_breaker_state") {
			fmt.Print(line)
		}
	}
	// Output:
	// gabion_breaker_state{service="pricing"} 2
}
