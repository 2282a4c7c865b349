package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapeTimeout is how long a scrape may take; Prometheus itself gives up
	// after 10 s unless told otherwise.
	scrapeTimeout = 10 * time.Second
	// maxScrapes is how many scrapes may run at once.
	maxScrapes = 8
)

// Handler serves what g gathers in the Prometheus and OpenMetrics formats. It
// answers within 10 s, shows the good series next to failed ones, and serves at
// most 8 scrapes at once; more are refused with 503. If g is a
// [prometheus.Registerer] too, such as a [Registry], failures are counted there
// in promhttp_metric_handler_errors_total.
func Handler(g prometheus.Gatherer) http.Handler {
	opts := promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		CoalesceGather:      true,
		Timeout:             scrapeTimeout,
	}
	if reg, ok := g.(prometheus.Registerer); ok {
		opts.Registry = reg
	}
	return promhttp.HandlerFor(g, opts)
}
