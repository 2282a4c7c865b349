package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
)

// Bounds of single requests. A blocking query has its own, see [Backend.Watch].
const (
	dialTimeout = 5 * time.Second
	callTimeout = 5 * time.Second
)

// Backend is a [discovery.Backend] on a Consul agent. All methods may be
// called at the same time. It runs one goroutine for each registration.
type Backend struct {
	conf      Config
	log       *slog.Logger
	client    *api.Client
	transport *http.Transport
	tokens    *tokenSource

	ctx    context.Context // of everything that goes on in the background
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ids    map[string]bool // of the registrations that are not withdrawn
}

var _ discovery.Backend = (*Backend)(nil)

// An Option changes what [New] makes, beyond the plain settings in [Config].
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	log  *slog.Logger
	dial dialFunc
}

// WithLogger sets where registrations report what becomes of them and watches
// what they had to skip. nil, the default, logs nothing.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(o *options) { o.log = l })
}

// WithDialer sets how connections to Consul are made, for example through a
// tunnel. TLS, if any, comes on top. Default: a [net.Dialer] with a time limit
// of 5 s.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return optionFunc(func(o *options) { o.dial = dial })
}

// Open is a [discovery.Opener] for the URLs that [ParseURL] reads. It makes no
// request, so a Consul that is down is not an error.
func Open(ctx context.Context, url string) (discovery.Backend, error) {
	return NewOpener()(ctx, url)
}

// NewOpener returns an opener like [Open] with options.
func NewOpener(opts ...Option) discovery.Opener {
	return func(_ context.Context, url string) (discovery.Backend, error) {
		conf, err := ParseURL(url)
		if err != nil {
			return nil, err
		}
		b, err := New(conf, opts...)
		if err != nil {
			return nil, err // not a nil *Backend in an interface
		}
		return b, nil
	}
}

// New returns a Backend for the Consul that conf names. It makes no request.
// The error joins every invalid setting; files that conf names must be
// readable.
func New(conf Config, opts ...Option) (*Backend, error) {
	conf = conf.withDefaults()
	if err := conf.validate(); err != nil {
		return nil, err
	}
	o := options{dial: (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext}
	for _, opt := range opts {
		opt.apply(&o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	b := &Backend{conf: conf, log: o.log, ids: map[string]bool{}}
	if err := b.connect(o.dial); err != nil {
		return nil, err
	}
	if after, raised := conf.deregisterAfter(); raised {
		b.log.Warn("deregister_after is too short and was raised",
			"configured", time.Duration(conf.DeregisterAfter), "used", after)
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// Close ends every registration's work and waits for it, and ends every watch.
// It does not deregister. A second Close does nothing.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
	b.transport.CloseIdleConnections()
	return nil
}

// claim takes id for a registration of this backend and starts run for it.
func (b *Backend) claim(id string, run func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return discovery.ErrClosed
	}
	if b.ids[id] {
		return fmt.Errorf("discovery/consul: register: ID %q is registered already", id)
	}
	b.ids[id] = true
	b.wg.Go(run)
	return nil
}

// release gives up id.
func (b *Backend) release(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ids, id)
}

// isClosed reports whether Close has been called.
func (b *Backend) isClosed() bool { return b.ctx.Err() != nil }

// query returns options for one request, with the token of this moment.
// Registration stays in the agent's own datacenter, so only reads of the
// catalog name another.
func (b *Backend) query(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{Token: b.tokens.current()}).WithContext(ctx)
}

// errNoAnswer explains a time limit of our own.
var errNoAnswer = errors.New("no answer from Consul in time")

// call runs one short request within limit.
func (b *Backend) call(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	return explain(ctx, classify(do(ctx)))
}

// explain replaces the bare "deadline exceeded" of our own limit.
func explain(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return err
}
