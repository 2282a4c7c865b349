package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// ServerSettings are the limits of a server. Zero fields stand for their
// defaults; a negative duration or size lifts that limit.
type ServerSettings struct {
	// ReadHeaderTimeout bounds the reading of a request's header. Default 5 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds the reading of a whole request. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time from the end of the request's header to the
	// end of the response. Default 30 s. Handlers that stream lift it: see
	// [Stream].
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	// Default 120 s, which is longer than the 60 s of common load balancers,
	// so that they and not this server close a connection. What forgets silent
	// connections later than that, as AWS's NLB does after 350 s, meets none.
	IdleTimeout time.Duration
	// HeaderBytes bounds a request's header. Default 64 KiB.
	HeaderBytes int
	// BodyBytes bounds a request's body. Default 4 MiB.
	BodyBytes int64
	// Limit bounds the requests that are worked on at once.
	Limit limit.Settings
}

// orDefault returns the default for zero and zero (no limit) for less.
func orDefault[T ~int | ~int64](v, def T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return 0
	default:
		return v
	}
}

func (s ServerSettings) withDefaults() ServerSettings {
	s.ReadHeaderTimeout = orDefault(s.ReadHeaderTimeout, 5*time.Second)
	s.ReadTimeout = orDefault(s.ReadTimeout, 30*time.Second)
	s.WriteTimeout = orDefault(s.WriteTimeout, 30*time.Second)
	s.IdleTimeout = orDefault(s.IdleTimeout, 120*time.Second)
	s.HeaderBytes = orDefault(s.HeaderBytes, 64<<10)
	s.BodyBytes = orDefault(s.BodyBytes, 4<<20)
	return s
}

type serverConfig struct {
	settings  ServerSettings
	observers []ServerObserver
	log       *slog.Logger
	tls       *tls.Config
	protocols *http.Protocols
	exempt    func(*http.Request) bool
	client    func(*http.Request) string
}

// A ServerOption changes how a [Server] works.
type ServerOption interface{ applyServer(*serverConfig) }

type serverOption func(*serverConfig)

func (f serverOption) applyServer(c *serverConfig) { f(c) }

// WithSettings sets the server's limits.
func WithSettings(s ServerSettings) ServerOption {
	return serverOption(func(c *serverConfig) { c.settings = s })
}

// WithServerObserver adds an observer. The first one given is the outermost.
func WithServerObserver(o ServerObserver) ServerOption {
	return serverOption(func(c *serverConfig) { c.observers = append(c.observers, o) })
}

// WithServerLogger sets where panics of handlers and errors of connections are
// logged. Default nowhere.
func WithServerLogger(l *slog.Logger) ServerOption {
	return serverOption(func(c *serverConfig) { c.log = orDiscard(l) })
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// WithExempt sets which requests are served however busy the server is: those
// whose answer costs nothing and that must not fail because of load, such as
// probes. They count as in flight but take no place. Of several options each
// exempts what it says. Default none.
func WithExempt(exempt func(*http.Request) bool) ServerOption {
	return serverOption(func(c *serverConfig) {
		if others := c.exempt; others != nil {
			c.exempt = func(r *http.Request) bool { return others(r) || exempt(r) }
			return
		}
		c.exempt = exempt
	})
}

// WithFairness lets clients take turns when there are more requests than the
// server can work on: one that sends most of them gets no more places than each
// of the others that wait, and is who is refused first. Criticality goes before;
// see [limit.Adaptive.AcquireFrom]. client names the caller of a request; those
// for which it returns the empty string count as one client.
//
// A caller must not be able to choose its name, or it has as many turns as
// names: take what the connection tells, as package ratelimit's ClientIP does,
// or who signed the request; never a header as it comes from strangers. Nor must
// it choose how much it matters: take X-Gabion-Criticality off what strangers
// send, or they go before all others. client is called for every request, before
// any other work, and must be quick. Default none: all requests are served in the
// order of one queue.
func WithFairness(client func(*http.Request) string) ServerOption {
	return serverOption(func(c *serverConfig) { c.client = client })
}

// WithServerTLS makes the server speak TLS only. cfg is cloned.
func WithServerTLS(cfg *tls.Config) ServerOption {
	return serverOption(func(c *serverConfig) { c.tls = cfg.Clone() })
}

// WithServerProtocols sets the HTTP versions to speak. Default HTTP/1.1, and
// HTTP/2 over TLS; HTTP/2 without TLS (prior knowledge) only when asked for.
func WithServerProtocols(p *http.Protocols) ServerOption {
	return serverOption(func(c *serverConfig) { c.protocols = p })
}

// A Server serves a handler within limits. It is an [http.Handler] itself, for
// use under another server or as a local endpoint: then only the limits of
// connections are missing. Under an http.Server it can tell probes its load only
// if DisableGeneralOptionsHandler is set there; calls are told in any case.
type Server struct {
	cfg      serverConfig
	handler  http.Handler
	http     *http.Server
	limiter  *limit.Adaptive
	load     loadReport
	refused  sync.Pool // exchanges that came to nothing, to be used again
	active   atomic.Int64
	drainCtx context.Context // ends when draining begins
	drain    context.CancelFunc
	stopCtx  context.Context // ends when time is up for what is in flight
	stop     context.CancelFunc

	mu        sync.Mutex
	fresh     map[net.Conn]time.Time // connections that have not sent a request yet
	listeners map[net.Listener]bool  // being served
	shut      bool                   // no listener is served any more
}

// NewServer returns a server for h that is not serving yet.
func NewServer(h http.Handler, opts ...ServerOption) (*Server, error) {
	cfg := serverConfig{log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o.applyServer(&cfg)
	}
	cfg.settings = cfg.settings.withDefaults()
	limiter, err := limit.NewAdaptive(cfg.settings.Limit)
	if err != nil {
		return nil, fmt.Errorf("transport: server: %w", err)
	}
	if h == nil {
		return nil, errors.New("transport: server without a handler")
	}
	if t := cfg.tls; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return nil, errors.New("transport: server: TLS without a certificate: set Certificates or GetCertificate")
	}
	s := &Server{cfg: cfg, handler: h, limiter: limiter, fresh: map[net.Conn]time.Time{}, listeners: map[net.Listener]bool{}}
	s.drainCtx, s.drain = context.WithCancel(context.Background())
	s.stopCtx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s,

		DisableGeneralOptionsHandler: true, // see answerProbe

		ReadHeaderTimeout: cfg.settings.ReadHeaderTimeout,
		ReadTimeout:       cfg.settings.ReadTimeout,
		WriteTimeout:      cfg.settings.WriteTimeout,
		IdleTimeout:       cfg.settings.IdleTimeout,
		MaxHeaderBytes:    max(cfg.settings.HeaderBytes-4096, 1), // net/http lets 4 KiB more pass
		TLSConfig:         cfg.tls,
		Protocols:         cfg.protocols,
		ConnState:         s.connState,
		ErrorLog:          log.New(connLog{cfg.log}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.stopCtx },
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      15 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 15 * time.Second,
		},
	}
	return s, nil
}

// Serve answers connections of l until Shutdown or Close, and then returns
// nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		return l.Close()
	}
	defer s.forget(l)
	defer func() { _ = l.Close() }() // net/http leaves it open when TLS is not set up well
	var err error
	if s.cfg.tls != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) || s.drainCtx.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("transport: serve %s: %w", l.Addr(), err)
}

// Drain announces that the server will go: requests are still served, but
// every response asks for its connection to be closed, and [Draining] tells
// handlers that stream. It returns at once and may be called again.
func (s *Server) Drain() { s.drain() }

// Shutdown drains, stops accepting connections and waits for the requests in
// flight until ctx ends. What is not done by then loses its context and, a
// moment later, its connection; the error then says how many requests that
// were. Connections that have sent nothing do not hold it up.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	closing, closed := context.WithCancel(ctx)
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		s.closeSilent(closing)
	}()
	s.stopAccepting(ctx)
	err := s.http.Shutdown(ctx)
	if err == nil {
		err = s.awaitIdle(ctx) // handlers that have taken over their connection
	}
	if err != nil {
		cut := s.active.Load()
		s.stop()
		s.lastWords()
		_ = s.http.Close() // the listener is closed already
		err = fmt.Errorf("transport: shutdown: %d requests cut off: %w", cut, err)
	}
	s.stop()
	closed()
	<-silent
	return err
}

// track remembers a listener, unless the server has been shut down.
func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return false
	}
	s.listeners[l] = true
	return true
}

func (s *Server) forget(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// stopAccepting closes the listeners and waits until every connection that was
// accepted has begun a request, been closed as silent, or ctx has ended. Once
// net/http shuts down it drops requests that it had accepted but not yet read.
func (s *Server) stopAccepting(ctx context.Context) {
	s.mu.Lock()
	s.shut = true
	for l := range s.listeners {
		_ = l.Close() // its Serve tells
	}
	s.mu.Unlock()
	tick := time.NewTicker(shutdownTick)
	defer tick.Stop()
	for quiet := 0; quiet < 2; { // once more after the last began, as it begins a moment after it is read
		s.mu.Lock()
		if len(s.listeners)+len(s.fresh) == 0 {
			quiet++
		}
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// shutdownTick is how often a shutdown looks at what is left.
const shutdownTick = 5 * time.Millisecond

// Close ends everything at once.
func (s *Server) Close() error {
	s.drain()
	s.stop()
	return s.http.Close()
}

// lastMoment is how long handlers get when their time is up.
const lastMoment = 250 * time.Millisecond

// lastWords gives handlers whose context has ended a moment to say so.
func (s *Server) lastWords() {
	ctx, cancel := context.WithTimeout(context.Background(), lastMoment)
	defer cancel()
	_ = s.awaitIdle(ctx)
}

// awaitIdle waits until no request is being served, or ctx ends.
func (s *Server) awaitIdle(ctx context.Context) error {
	if s.active.Load() == 0 {
		return nil
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// silentGrace is how long a connection may be silent before a shutdown closes
// it. net/http waits 5 s for each.
const silentGrace = 500 * time.Millisecond

// closeSilent closes connections on which no request has begun, until ctx ends.
func (s *Server) closeSilent(ctx context.Context) {
	tick := time.NewTicker(silentGrace / 5)
	defer tick.Stop()
	for {
		s.mu.Lock()
		for c, since := range s.fresh {
			if time.Since(since) > silentGrace {
				_ = c.Close() // it has nothing to lose
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		s.fresh[c] = time.Now()
		s.mu.Unlock()
	case http.StateActive, http.StateHijacked, http.StateClosed:
		s.mu.Lock()
		delete(s.fresh, c)
		s.mu.Unlock()
	}
}

// InFlight returns the number of requests being served, streams included.
func (s *Server) InFlight() int { return int(s.active.Load()) }

// Limit returns how many requests are worked on and how many may be.
func (s *Server) Limit() (inflight, limit int) { return s.limiter.InFlight(), s.limiter.Limit() }

// connLog takes what net/http logs of connections.
type connLog struct{ log *slog.Logger }

func (l connLog) Write(p []byte) (int, error) {
	l.log.Debug("transport: connection", "detail", string(p))
	return len(p), nil
}
