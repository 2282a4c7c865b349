package cache

import "github.com/prometheus/client_golang/prometheus"

// descs describe what a cache counts.
type descs struct{ requests, validations, bytes *prometheus.Desc }

func describe(name string) descs {
	label := prometheus.Labels{"cache": name}
	return descs{
		requests: prometheus.NewDesc("gabion_cache_requests_total",
			"Requests that were answered from the store (hit), or with what was no longer fresh (stale), or were passed on.",
			[]string{"result"}, label),
		validations: prometheus.NewDesc("gabion_cache_validations_total",
			"Stored responses that a server has confirmed.", nil, label),
		bytes: prometheus.NewDesc("gabion_cache_bytes", "What the stored responses take.", nil, label),
	}
}

// Describe implements [prometheus.Collector].
func (c *Cache) Describe(out chan<- *prometheus.Desc) {
	out <- c.metrics.requests
	out <- c.metrics.validations
	out <- c.metrics.bytes
}

// Collect implements [prometheus.Collector]. Registered with a Registerer, a
// cache shows its [Stats]: gabion_cache_requests_total with the result hit,
// stale or forwarded, gabion_cache_validations_total and gabion_cache_bytes. The
// label cache is [Settings.Name]: caches that are registered together need
// different ones.
func (c *Cache) Collect(out chan<- prometheus.Metric) {
	s := c.Stats()
	count := func(d *prometheus.Desc, n uint64, result ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), result...)
	}
	count(c.metrics.requests, s.Hits-s.Stale, "hit")
	count(c.metrics.requests, s.Stale, "stale")
	count(c.metrics.requests, s.Forwarded, "forwarded")
	count(c.metrics.validations, s.Validated)
	out <- prometheus.MustNewConstMetric(c.metrics.bytes, prometheus.GaugeValue, float64(s.Bytes))
}
