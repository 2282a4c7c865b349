package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server counts what one service serves. Its methods may be called at the same
// time and do not allocate for a combination of labels seen before.
type Server struct {
	m         *Metrics
	label     string
	routes    *vocabulary
	durations children[serverKey, *durations]
	active    children[string, prometheus.Gauge]
	rejected  children[rejectKey, prometheus.Counter]
	spared    children[string, prometheus.Counter]
}

type serverKey struct {
	method, route string
	status        int
}

// Server returns the handle for requests that service serves, the same one for
// the same name.
func (m *Metrics) Server(service string) *Server {
	label := m.servers.label(service)
	if s, ok := m.serverList.Load(label); ok {
		return s.(*Server)
	}
	s, _ := m.serverList.LoadOrStore(label, newServer(m, label))
	return s.(*Server)
}

func newServer(m *Metrics, label string) *Server {
	s := &Server{m: m, label: label, routes: newVocabulary(m.maxRoutes, Unmatched, Other)}
	s.durations = children[serverKey, *durations]{epoch: &m.still, mu: &m.mu, resolve: s.duration}
	s.active = children[string, prometheus.Gauge]{epoch: &m.still, mu: &m.mu, resolve: s.gauge}
	s.spared = children[string, prometheus.Counter]{epoch: &m.still, mu: &m.mu, resolve: s.spare}
	s.rejected = children[rejectKey, prometheus.Counter]{epoch: &m.still, mu: &m.mu, resolve: s.rejection}
	return s
}

func (s *Server) duration(k serverKey) *durations {
	return newDurations(s.m.serverDuration.WithLabelValues(k.method, codeLabel(k.status), k.route, s.label))
}

func (s *Server) gauge(method string) prometheus.Gauge {
	return s.m.serverActive.WithLabelValues(method, s.label)
}

func (s *Server) spare(reason string) prometheus.Counter {
	return s.m.spared.WithLabelValues("server", s.label, reason)
}

func (s *Server) rejection(k rejectKey) prometheus.Counter {
	return s.m.rejected.WithLabelValues("server", s.label, k.reason, k.criticality)
}

// Begin counts a request as active. Each Begin needs one End with the same
// method.
func (s *Server) Begin(method string) { s.active.get(methodLabel(method)).Inc() }

// End counts the request as no longer active and records its duration. route
// is the ServeMux pattern that matched, never the raw path; empty means none
// and is shown as [Unmatched]. status is 0 if no response was written. A
// negative d counts as 0.
func (s *Server) End(method, route string, status int, d time.Duration) {
	s.end(method, route, status).Observe(seconds(d))
}

// EndExemplar is like [Server.End] and, if ctx carries a sampled span, attaches
// its trace id as an exemplar, as [Client.RequestExemplar] does.
func (s *Server) EndExemplar(ctx context.Context, method, route string, status int, d time.Duration) {
	s.end(method, route, status).observe(ctx, d)
}

func (s *Server) end(method, route string, status int) *durations {
	method = methodLabel(method)
	s.active.get(method).Dec()
	return s.durations.get(serverKey{method: method, route: s.routes.label(route), status: statusCode(status)})
}

// Rejected counts a request that a limit on the server side refused. An empty
// criticality means critical.
func (s *Server) Rejected(reason Reason, criticality string) {
	s.rejected.get(rejectKey{s.m.reasons.label(string(reason)), criticalityLabel(criticality)}).Inc()
}

// ShadowRejected counts a request that a limit on the server side would have
// refused and let through, because its settings say that it only shadows.
func (s *Server) ShadowRejected(reason Reason) {
	s.spared.get(s.m.reasons.label(string(reason))).Inc()
}
