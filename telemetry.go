package gabion

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/observe"
	"github.com/gabion-go/gabion/observe/admin"
	"github.com/gabion-go/gabion/observe/metrics"
)

func (s *Service) openTelemetry() error {
	opts := []observe.Option{observe.WithEnv(s.cfg.getenv)}
	if s.cfg.logger != nil {
		opts = append(opts, observe.WithLogger(s.cfg.logger))
	}
	if s.cfg.registry != nil {
		opts = append(opts, observe.WithRegistry(s.cfg.registry, s.cfg.registry))
	}
	if s.cfg.exporter != nil {
		opts = append(opts, observe.WithSpanExporter(s.cfg.exporter))
	}
	t, err := observe.New(s.cfg.name, opts...)
	if err != nil {
		return err
	}
	s.telemetry, s.log = t, t.Logger()
	s.warnOfNoExporter()
	s.onStop("telemetry", t.Shutdown)
	remove := t.Metrics().AddHealth(func() []metrics.HealthResult {
		var all []metrics.HealthResult
		for _, r := range s.health.Results() {
			all = append(all, metrics.HealthResult{Check: r.Name, Kind: r.Kind.String(), Healthy: r.Healthy})
		}
		return all
	})
	s.onStop("health metrics", func(context.Context) error { remove(); return nil })
	return nil
}

// warnOfNoExporter tells whoever asked for OTLP by its variables that this
// program was built without it: the library must not drag it in.
func (s *Service) warnOfNoExporter() {
	if s.cfg.exporter != nil {
		return
	}
	for _, key := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if s.cfg.getenv(key) != "" {
			s.log.Warn("gabion: traces go nowhere: "+key+" is set, but the service has no exporter; give it one with gabion.WithSpanExporter and package observe/otlp",
				"service", s.cfg.name)
			return
		}
	}
}

// backendName is the value of the label backend: the scheme of the discovery
// URL.
func (s *Service) backendName() string {
	if s.cfg.backend != nil {
		return "custom"
	}
	scheme, _, _ := strings.Cut(s.cfg.discovery, ":")
	return scheme
}

// watchObserver counts what the directory learns.
type watchObserver struct {
	metrics *metrics.Metrics
	backend string
}

func (o watchObserver) Update(service string, _ int)  { o.metrics.DiscoveryUpdate(o.backend, service) }
func (o watchObserver) Error(service string, _ error) { o.metrics.DiscoveryError(o.backend, service) }
func (o watchObserver) Stop(string)                   {}
func (s *Service) watchObserver() discovery.DirectoryObserver {
	return watchObserver{s.telemetry.Metrics(), s.backendName()}
}

// staleness is, by service, how long the registry has not confirmed the list.
func (s *Service) staleness() map[string]time.Duration {
	now := time.Now()
	ages := map[string]time.Duration{}
	for service, snap := range s.directory.Snapshots() {
		ages[service] = snap.Age(now)
	}
	return ages
}

// adminServer serves the admin listener.
func (s *Service) adminServer() *http.Server {
	cfg := admin.Config{
		Name: s.cfg.name,
		Live: s.health.LiveHandler(), Ready: s.health.ReadyHandler(), Startup: s.health.StartupHandler(),
		Metrics: s.telemetry.MetricsHandler(),
		Debug:   func() any { return s.debug() },
		Level:   s.telemetry.Level(),
		Extra:   s.admin,
		Logger:  s.log,
	}
	addr := s.cfg.adminAddr
	if s.cfg.adminListener != nil {
		addr = s.cfg.adminListener.Addr().String()
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		ip := net.ParseIP(host)
		cfg.Hosts, cfg.AnyHost = []string{host}, host == "" || ip != nil && !ip.IsLoopback()
	}
	return &http.Server{
		Handler:           admin.New(cfg),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}

// serveAdmin is Serve without the error that every closed server returns.
func serveAdmin(srv *http.Server, l net.Listener) error {
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gabion: admin listener: %w", err)
	}
	return nil
}
