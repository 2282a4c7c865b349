package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collectTimeout bounds one collector's part of a scrape. It is longer than
// readTimeout, so that Metrics can finish, and shorter than scrapeTimeout.
const collectTimeout = 5 * time.Second

// Registry is a Prometheus registry whose scrapes survive their collectors: one
// that panics, or has not finished after 5 s, is left out and named in the
// error of Gather, next to the series of all others. While a collection hangs,
// later scrapes wait for it and start no other one.
type Registry struct {
	prometheus.Gatherer

	inner *prometheus.Registry
}

// NewRegistry returns an empty Registry, independent of all others.
func NewRegistry() *Registry {
	inner := prometheus.NewRegistry()
	return &Registry{Gatherer: inner, inner: inner}
}

// Register implements [prometheus.Registerer].
func (r *Registry) Register(c prometheus.Collector) error {
	err := r.inner.Register(newGuard(c))
	already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
	if !ok {
		return err
	}
	// The caller wants the existing collector itself, without our guard and
	// without the wrappers of prometheus.WrapRegistererWith, which only a plain
	// registry can remove.
	plain := prometheus.NewRegistry()
	if existing, ok := already.ExistingCollector.(*guard); ok {
		plain.MustRegister(existing.inner)
	}
	return plain.Register(c)
}

// MustRegister implements [prometheus.Registerer]. It panics if one of the
// collectors cannot be registered.
func (r *Registry) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements [prometheus.Registerer].
func (r *Registry) Unregister(c prometheus.Collector) bool { return r.inner.Unregister(c) }

// guard bounds the time that a collector takes in a scrape.
type guard struct {
	inner prometheus.Collector
	src   source[[]prometheus.Metric]
}

func newGuard(c prometheus.Collector) *guard {
	g := &guard{inner: c}
	g.src.read = g.gather
	return g
}

// gather runs the collector to its end.
func (g *guard) gather() (all []prometheus.Metric, err error) {
	ch := make(chan prometheus.Metric)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range ch {
			all = append(all, m)
		}
	}()
	defer func() {
		close(ch)
		<-done
	}()
	g.inner.Collect(ch)
	return all, nil
}

// Describe implements [prometheus.Collector].
func (g *guard) Describe(ch chan<- *prometheus.Desc) { g.inner.Describe(ch) }

// Collect implements [prometheus.Collector].
func (g *guard) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	all, err := g.src.start().wait(ctx)
	for _, m := range all {
		ch <- m
	}
	if err != nil {
		ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
}
