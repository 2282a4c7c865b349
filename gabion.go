package gabion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/discovery/gossip"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/health"
	"github.com/gabion-go/gabion/observe"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/instrument"
	"github.com/gabion-go/gabion/transport/policysource"
)

// ErrStarted: Run, or Close, has been called before.
var ErrStarted = errors.New("gabion: the service has been run or closed already")

// A Service is one instance of one service. Make it with [New], give it
// handlers, then [Service.Run] it; or [Service.Close] it if it never runs.
type Service struct {
	cfg       *config
	log       *slog.Logger
	telemetry *observe.Telemetry
	health    *health.Checker
	mux       *http.ServeMux
	routes    http.Handler // mux within the middleware
	admin     map[string]http.Handler
	server    *transport.Server
	client    *transport.Client
	followers []*policysource.Follower
	backend   discovery.Backend
	directory *discovery.Directory
	started   atomic.Bool
	ended     chan struct{} // closed when Run or the first Close has returned
	listening atomic.Pointer[listeners]
	regErr    atomic.Pointer[error]
	work      work
	ready     bool // of Run alone: others may have been told to come

	mu    sync.Mutex
	stops []namedHook // run in reverse order at the end
}

// listeners are the sockets of a service that runs.
type listeners struct {
	public, admin net.Listener
	instance      discovery.Instance
}

// New returns a service that is not running yet. name is what callers put
// into a URL's host. New opens the discovery backend but registers nothing.
// The error joins everything that is wrong with the settings of one kind.
func New(name string, opts ...Option) (*Service, error) {
	cfg, err := newConfig(name, opts)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, mux: http.NewServeMux(), admin: map[string]http.Handler{}, ended: make(chan struct{}), health: health.New(health.WithManualStart(true))}
	s.work.init()
	for _, step := range []func() error{s.openTelemetry, s.openDiscovery, s.openClient, s.openPolicies, s.openServer} {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Service) openDiscovery() error {
	if s.backend = s.cfg.backend; s.backend == nil {
		openers := discovery.Openers{
			"consul":       consul.NewOpener(consul.WithLogger(s.log)),
			"consul+https": consul.NewOpener(consul.WithLogger(s.log)),
			"gossip":       gossip.Config{Logger: s.log}.Open,
			"static":       static.Open,
		}
		maps.Copy(openers, s.cfg.openers)
		var err error
		if s.backend, err = openers.Open(context.Background(), s.cfg.discovery); err != nil {
			return fmt.Errorf("gabion: discovery (GABION_DISCOVERY): %w", err)
		}
		s.onStop("discovery", func(context.Context) error { return s.backend.Close() })
	}
	s.directory = discovery.NewDirectory(s.backend, discovery.WithObserver(s.watchObserver()))
	s.onStop("directory", func(context.Context) error { return s.directory.Close() })
	remove := s.telemetry.Metrics().AddStaleness(s.backendName(), s.staleness)
	s.onStop("staleness", func(context.Context) error { remove(); return nil })
	return nil
}

func (s *Service) openClient() error {
	opts := []transport.ClientOption{
		transport.WithObserver(instrument.Client(s.telemetry.Metrics(), s.telemetry.Traces())),
		transport.WithLogger(s.log),
		transport.WithCaller(balance.Caller{Service: s.cfg.name, ID: s.cfg.instance.ID, Zone: s.cfg.instance.Zone}),
	}
	for service, p := range s.cfg.policies {
		if service == "" {
			opts = append(opts, transport.WithPolicy(p))
		} else {
			opts = append(opts, transport.WithServicePolicy(service, p))
		}
	}
	var err error
	if s.client, err = transport.NewClient(s.directory, append(opts, s.cfg.clientOptions...)...); err != nil {
		return err
	}
	s.onStop("client", func(context.Context) error { return s.client.Close() })
	return nil
}

func (s *Service) openServer() error {
	opts := []transport.ServerOption{
		transport.WithSettings(s.cfg.server),
		transport.WithServerLogger(s.log),
		transport.WithServerObserver(instrument.Server(s.cfg.name, s.telemetry.Metrics(), s.telemetry.Traces())),
		transport.WithServerObserver(accessLog{s.log}),
		transport.WithExempt(s.isPublicProbe),
	}
	if s.cfg.tls != nil {
		opts = append(opts, transport.WithServerTLS(s.cfg.tls))
	}
	if s.cfg.protocols != nil {
		opts = append(opts, transport.WithServerProtocols(s.cfg.protocols))
	}
	s.routes = s.mux
	for _, wrap := range slices.Backward(s.cfg.middleware) {
		s.routes = wrap(s.routes)
	}
	var err error
	if s.server, err = transport.NewServer(http.HandlerFunc(s.serveHTTP), append(opts, s.cfg.serverOptions...)...); err != nil {
		return err
	}
	remove := s.telemetry.Metrics().AddServerLimit(s.cfg.name, s.server.Limit)
	s.onStop("server limit", func(context.Context) error { remove(); return nil })
	return nil
}

// serveHTTP is the public listener: the service's routes, and the probes
// where asked for.
func (s *Service) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if s.isPublicProbe(r) {
		s.serveProbe(w, r)
		return
	}
	switch h, pattern := s.mux.Handler(r); {
	case reflect.TypeOf(h) == redirect:
		bare(w.Header())
	case pattern == "":
		s.unmatched(w, r)
		return
	}
	s.routes.ServeHTTP(w, r)
}

// redirect is what a ServeMux answers a path with that is not clean, or lacks
// its last slash. It is the same as what [http.RedirectHandler] makes, so that one
// which a service has registered is without a body too.
var redirect = reflect.TypeOf(http.RedirectHandler("/", http.StatusTemporaryRedirect))

// bare makes a redirect one without a body: net/http would write a page of HTML
// that holds what the caller has sent, for callers that want none.
func bare(h http.Header) {
	h["Content-Type"] = nil // says that there is nothing to say
	h.Set("X-Content-Type-Options", "nosniff")
}

// isPublicProbe reports whether r asks for a probe that is served in public.
func (s *Service) isPublicProbe(r *http.Request) bool {
	return s.cfg.publicHealth && (r.URL.Path == "/livez" || r.URL.Path == "/readyz")
}

// serveProbe answers a probe in public: without the names and results of the
// checks, which are the admin listener's.
func (s *Service) serveProbe(w http.ResponseWriter, r *http.Request) {
	bare := *r.URL
	bare.RawQuery = ""
	r = r.WithContext(r.Context())
	r.URL = &bare
	if bare.Path == "/livez" {
		s.health.LiveHandler().ServeHTTP(w, r)
		return
	}
	s.health.ReadyHandler().ServeHTTP(w, r)
}

// unmatched answers what no route matches, as a problem, with the status and
// the Allow header that the ServeMux gives it.
func (s *Service) unmatched(w http.ResponseWriter, r *http.Request) {
	rec := statusOnly{header: http.Header{}}
	s.mux.ServeHTTP(&rec, r)
	if allow := rec.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
	}
	transport.WriteProblem(w, r, transport.Problem{Status: rec.status})
}

// statusOnly is a ResponseWriter that keeps the status and the header.
type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header         { return w.header }
func (w *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (w *statusOnly) WriteHeader(status int)      { w.status = status }

// Handle registers a handler by a pattern of [http.ServeMux] such as
// "GET /v1/quote/{id}". It panics, as ServeMux does, on a pattern that is
// invalid or conflicts with another. Call it before Run.
func (s *Service) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// HandleFunc is Handle for a function.
func (s *Service) HandleFunc(pattern string, h http.HandlerFunc) { s.mux.Handle(pattern, h) }

// HandleAdmin registers a handler on the admin listener. Call it before Run.
func (s *Service) HandleAdmin(pattern string, h http.Handler) { s.admin[pattern] = h }

// Client returns an HTTP client for calls to service, whose name is the host
// of its URLs: http://pricing/v1/quote. All clients of a Service share
// connections, breakers and statistics, and each can call any service; the
// name given here is checked early and watched from now on.
func (s *Service) Client(service string) *http.Client {
	if sub, err := s.directory.Subscribe(service); err != nil {
		s.log.Warn("gabion: client", "service", service, "error", err)
	} else {
		sub.Close() // the directory keeps watching for a while: the first call finds a list
	}
	return s.client.HTTPClient()
}

// Transport returns what all clients of the service share.
func (s *Service) Transport() *transport.Client { return s.client }

// Health returns the service's health checks.
func (s *Service) Health() *health.Checker { return s.health }

// Logger returns the service's logger.
func (s *Service) Logger() *slog.Logger { return s.log }

// Telemetry returns the service's metrics, traces and logs.
func (s *Service) Telemetry() *observe.Telemetry { return s.telemetry }

// Resolver returns what finds instances, shared by everything in the service.
func (s *Service) Resolver() discovery.Resolver { return s.directory }

// Name returns the service's name.
func (s *Service) Name() string { return s.cfg.name }

// InstanceID returns the ID under which this instance is registered.
func (s *Service) InstanceID() string { return s.cfg.instance.ID }

// Handler returns the service's routes within the limits of its server, for
// use without a socket: in tests, or as a local endpoint of another service
// in the same process.
func (s *Service) Handler() http.Handler { return s.server }

// Addr returns the address of the public listener, empty before Run listens.
func (s *Service) Addr() string {
	if l := s.listening.Load(); l != nil {
		return l.public.Addr().String()
	}
	return ""
}

// AdminAddr returns the address of the admin listener, empty before Run
// listens.
func (s *Service) AdminAddr() string {
	if l := s.listening.Load(); l != nil {
		return l.admin.Addr().String()
	}
	return ""
}

// OnStop adds a step to the end of the service, run after the last request is
// done and after all background work has ended; steps run in reverse order, so
// that what was opened first is closed last, and each has 3 s.
func (s *Service) OnStop(name string, run Hook) { s.onStop(name, run) }

func (s *Service) onStop(name string, run Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, namedHook{name, run})
}

// Close ends a service that does not run, or whose Run has returned: its
// background work and what New opened. While Run runs, Close makes it return
// and waits for that, so do not call it from what Run waits for: a handler, a
// hook or background work. A second Close does nothing.
func (s *Service) Close() error {
	if !s.started.CompareAndSwap(false, true) {
		s.work.closing()
		<-s.ended
		return nil
	}
	defer close(s.ended)
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	return errors.Join(s.work.stop(ctx), s.finish())
}

// finish runs the stop steps that have not been run yet, each within its own
// time: one that hangs takes none from the others.
func (s *Service) finish() error {
	var errs []error
	for {
		s.mu.Lock()
		n := len(s.stops)
		if n == 0 {
			s.mu.Unlock()
			return errors.Join(errs...)
		}
		step := s.stops[n-1]
		s.stops = s.stops[:n-1]
		s.mu.Unlock()
		if err := bounded(step.run); err != nil {
			errs = append(errs, fmt.Errorf("gabion: stop %s: %w", step.name, err))
		}
	}
}

// bounded runs a stop step, and leaves it behind if it is deaf to its context.
func bounded(run Hook) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- guarded(ctx, run) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stepGrace):
		return fmt.Errorf("did not end: %w", ctx.Err())
	}
}
