package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// maxServices bounds the services that a client keeps state for, so that host
// names from outside cannot fill the memory.
const maxServices = 10_000

// A Client calls services by name. It is an [http.RoundTripper], safe for
// concurrent use, and keeps state per service: the watch of the registry, the
// connections, the breaker, the balancer's statistics. Make one per process
// and Close it at the end.
type Client struct {
	cfg      clientConfig
	dir      *discovery.Directory
	ownsDir  bool
	observer Observer // nil if there is none
	alarms   alarms
	// refused are calls that were not admitted, to be used again: a refusal must
	// cost next to nothing, and nobody keeps any part of them. Of others the
	// transport below may.
	refused sync.Pool
	layers  layers

	services atomic.Pointer[map[serviceKey]*service] // copied on write under mu
	mu       sync.Mutex
	closed   bool
	peers    peerWatch
	live     livePolicies
	ctx      context.Context // ends with Close
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup
}

// serviceKey is one service over one scheme.
type serviceKey struct {
	host string
	tls  bool
}

type clientConfig struct {
	policy     Policy
	policies   map[string]Policy
	locals     map[string]*local
	observers  observers
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	tls        *tls.Config
	protocols  *http.Protocols
	connAge    time.Duration
	idle       time.Duration
	maxConns   int
	silence    time.Duration // of an HTTP/2 peer; see newTransport
	caller     balance.Caller
	pickers    map[string]func(rand.Source) balance.Picker
	hashKeys   map[string]func(*http.Request) string
	fallbacks  map[string]FallbackFunc
	everything FallbackFunc
	log        *slog.Logger
	cache      func(http.RoundTripper) http.RoundTripper
	batches    map[batchRoute]BatchFunc
	rand       rand.Source // nil for the runtime's
	seed       uint64      // from rand, if it is not nil
}

// A ClientOption changes how a [Client] works.
type ClientOption interface{ apply(*clientConfig) }

type clientOption func(*clientConfig)

func (f clientOption) apply(c *clientConfig) { f(c) }

// WithPolicy sets the policy of services that have none of their own. Default
// the zero Policy, that is, the documented defaults.
func WithPolicy(p Policy) ClientOption {
	return clientOption(func(c *clientConfig) { c.policy = p })
}

// WithServicePolicy sets the policy of one service.
func WithServicePolicy(service string, p Policy) ClientOption {
	return clientOption(func(c *clientConfig) { c.policies[service] = p })
}

// WithObserver adds an observer. The first one given is the outermost.
func WithObserver(o Observer) ClientOption {
	return clientOption(func(c *clientConfig) { c.observers = append(c.observers, o) })
}

// WithDialer sets how connections are made. Default a net.Dialer with a limit
// of 1 s.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) ClientOption {
	return clientOption(func(c *clientConfig) { c.dial = dial })
}

// WithPicker adds a balancing policy of one's own under a name that policies can
// give as theirs: see balance.WithPicker. f is called once for each service.
func WithPicker(name string, f func(rand.Source) balance.Picker) ClientOption {
	return clientOption(func(c *clientConfig) { c.pickers[name] = f })
}

// WithTLS sets the configuration of https connections. The name that a
// server's certificate must carry is the service's, unless cfg.ServerName says
// otherwise. cfg is cloned.
func WithTLS(cfg *tls.Config) ClientOption {
	return clientOption(func(c *clientConfig) { c.tls = cfg.Clone() })
}

// WithProtocols sets the HTTP versions to speak. Default HTTP/1.1, and HTTP/2
// where TLS negotiates it; SetUnencryptedHTTP2 without SetHTTP1 gives HTTP/2
// with prior knowledge.
func WithProtocols(p *http.Protocols) ClientOption {
	return clientOption(func(c *clientConfig) { c.protocols = p })
}

// WithMaxConnAge sets how long a connection gets new requests, so that
// changed addresses, certificates and load balancers are noticed. Default
// 5 min, spread by 10 %; zero or less is for ever.
func WithMaxConnAge(d time.Duration) ClientOption {
	return clientOption(func(c *clientConfig) { c.connAge = d })
}

// WithMaxConns bounds the connections to one endpoint; further requests wait
// for one within their time. Default 1024, the same as the bulkhead's.
func WithMaxConns(n int) ClientOption {
	return clientOption(func(c *clientConfig) { c.maxConns = n })
}

// WithIdle sets after how long without calls a service is forgotten: its
// watch, statistics and connections. Default 10 min.
func WithIdle(d time.Duration) ClientOption {
	return clientOption(func(c *clientConfig) { c.idle = d })
}

// WithRand makes all that the client does by chance follow from src: picks,
// backoffs, jitters, the breakers' ramps. It is drawn from once, by
// [NewClient]; every service then has sources of its own, which follow from that
// draw and the service's name, so that the calls of one do not change what is
// drawn for another. Clients that are made at the same time may share src only
// if it is safe for concurrent use. The default, and nil, is the runtime's
// generator.
func WithRand(src rand.Source) ClientOption {
	return clientOption(func(c *clientConfig) { c.rand = src })
}

// WithLocal adds a handler in this process as an endpoint of service, called
// without a socket but through the same policy. weight is as in
// discovery.Instance. If the registry knows instances too, calls are balanced
// over all of them.
func WithLocal(service string, h http.Handler, weight int) ClientOption {
	return clientOption(func(c *clientConfig) { c.locals[service] = newLocal(h, weight) })
}

// NewClient returns a client that finds instances through r. If r is a
// [*discovery.Directory] it is shared and stays the caller's to close. The
// error joins every invalid policy.
func NewClient(r discovery.Resolver, opts ...ClientOption) (*Client, error) {
	cfg := clientConfig{
		policies: map[string]Policy{}, locals: map[string]*local{}, fallbacks: map[string]FallbackFunc{},
		hashKeys: map[string]func(*http.Request) string{}, pickers: map[string]func(rand.Source) balance.Picker{},
		log:     slog.New(slog.DiscardHandler),
		connAge: 5 * time.Minute, idle: 10 * time.Minute, maxConns: 1024, silence: 5 * time.Second,
		dial: (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
	}
	for _, o := range opts {
		o.apply(&cfg)
	}
	policies := Policies{Default: cfg.policy, Services: cfg.policies}
	err := cfg.validate(policies)
	if r == nil {
		err = errors.Join(err, errors.New("transport: no resolver"))
	}
	if err != nil {
		return nil, err
	}
	if cfg.rand != nil {
		cfg.seed = cfg.rand.Uint64()
	}
	c := &Client{cfg: cfg}
	c.live.set.Store(&policySet{layers: []policyLayer{{FromCode, policies}}, changed: time.Now(), source: FromCode})
	switch len(cfg.observers) {
	case 0:
	case 1:
		c.observer = cfg.observers[0]
	default:
		c.observer = cfg.observers
	}
	c.layers.init(c)
	dir, shared := r.(*discovery.Directory)
	if !shared {
		dir = discovery.NewDirectory(r)
	}
	c.dir, c.ownsDir = dir, !shared
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.services.Store(&map[serviceKey]*service{})
	c.wg.Go(c.sweep)
	return c, nil
}

// HTTPClient returns an [http.Client] over c. It follows no redirect to
// another host, so that credentials stay with the service they were meant for.
// It has no Timeout of its own: the policy has. An http.Client made by hand
// follows redirects anywhere, and takes along what net/http does not know for a
// secret, such as X-Api-Key and baggage.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: sameHost}
}

func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// RoundTrip makes one call. It follows the rules of [http.RoundTripper]: the
// request is not changed, its body is always closed, and a response of any
// status is not an error.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	w, err := c.way(req)
	if err != nil {
		return nil, err
	}
	if !w.rules.fallback.IsZero() || c.fallback(w.svc.name) != nil {
		return c.callOrFallBack(w, req)
	}
	return c.call(w, req)
}

// way is where a call goes and what it goes by.
type way struct {
	svc   *service
	plan  *plan
	rules *rules // of plan
}

// way returns that of a call with this request. It closes the body if there is
// none.
func (c *Client) way(req *http.Request) (way, error) {
	svc, err := c.service(req.URL)
	if err != nil {
		closeBody(req)
		return way{}, &Error{Service: hostOf(req.URL), Err: err}
	}
	p := svc.plan.Load()
	return way{svc, p, p.rulesFor(req)}, nil
}

// call makes a call, through the layers that its rules ask for.
func (c *Client) call(w way, req *http.Request) (*http.Response, error) {
	if w.rules.layered() {
		return c.layers.do(w, req)
	}
	return startCall(w, req, false)
}

// callOrFallBack is call with something that answers if the service cannot.
func (c *Client) callOrFallBack(w way, req *http.Request) (*http.Response, error) {
	deadline := time.Now().Add(w.rules.timeout)
	if d, ok := req.Context().Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	resp, err := c.call(w, req)
	if err == nil && w.rules.fallback.LastGood > 0 {
		w.svc.lastGood.watch(req, resp)
	}
	failed := rescue{client: c, svc: w.svc, rules: w.rules, req: req, deadline: deadline, resp: resp, err: err}
	if failed.needed() {
		return failed.run()
	}
	return resp, err
}

func (c *Client) fallback(service string) FallbackFunc {
	if f := c.cfg.fallbacks[service]; f != nil {
		return f
	}
	return c.cfg.everything
}

// Services returns the state of every service that the client knows, in no
// order.
func (c *Client) Services() []ServiceState {
	var all []ServiceState
	for _, s := range *c.services.Load() {
		all = append(all, s.state())
	}
	return all
}

// CloseIdleConnections closes connections that carry no request.
func (c *Client) CloseIdleConnections() {
	for _, s := range *c.services.Load() {
		s.closeIdle()
	}
}

// Close stops every watch, closes idle connections and waits for the client's
// goroutines. Calls in flight may finish; new ones fail with [ErrClosed]. A
// second Close does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	again, services := c.closed, *c.services.Load()
	c.closed = true
	c.services.Store(&map[serviceKey]*service{}) // so that none is found any more
	c.mu.Unlock()
	if again {
		return nil
	}
	c.cancel(ErrClosed)
	c.wg.Wait()
	err := c.layers.close()
	for _, s := range services {
		s.close()
	}
	if c.ownsDir {
		err = errors.Join(err, c.dir.Close())
	}
	return err
}

// service returns the state for the service that u names, made on demand.
func (c *Client) service(u *url.URL) (*service, error) {
	if u == nil {
		return nil, errors.New("request without a URL")
	}
	key := serviceKey{host: u.Host, tls: u.Scheme == "https"}
	if s := (*c.services.Load())[key]; s != nil {
		s.used.Store(true)
		return s, nil
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("URL scheme %.20q, want http or https", u.Scheme)
	}
	return c.addService(key)
}

// addService returns the state for key, made if nobody else has meanwhile.
func (c *Client) addService(key serviceKey) (*service, error) {
	s, made, err := c.insertService(key)
	if made {
		s.begin(key, c.wg.Done)
	}
	return s, err
}

// insertService is addService under the lock. A service that it made counts in
// c.wg from then on.
func (c *Client) insertService(key serviceKey) (s *service, made bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.services.Load()
	if s := known[key]; s != nil {
		return s, false, nil
	}
	if c.closed {
		return nil, false, ErrClosed
	}
	if len(known) >= maxServices {
		return nil, false, fmt.Errorf("%d services are in use already, no room for another", maxServices)
	}
	if s, err = newService(c, key); err != nil {
		return nil, false, err
	}
	next := maps.Clone(known)
	next[key] = s
	c.services.Store(&next)
	c.wg.Add(1)
	return s, true, nil
}

// sweep forgets services that nobody has called for the idle time.
func (c *Client) sweep() {
	tick := time.NewTicker(max(c.cfg.idle/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			c.forgetIdle()
		}
	}
}

// forgetIdle drops services unused for two ticks running that have nothing in
// flight.
func (c *Client) forgetIdle() {
	c.mu.Lock()
	known := *c.services.Load()
	next := maps.Clone(known)
	var gone []*service
	for key, s := range known {
		if s.used.Swap(false) || s.bulkhead.InFlight() > 0 {
			s.idleTicks = 0
			continue
		}
		if s.idleTicks++; s.idleTicks >= 2 {
			delete(next, key)
			gone = append(gone, s)
		}
	}
	if len(gone) > 0 {
		c.services.Store(&next)
	}
	c.mu.Unlock()
	for _, s := range gone {
		s.close()
	}
}

// hostOf is how a URL's target is named in errors: without userinfo.
func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Host
}

// external reports whether host is an address of its own and not the name of a
// service: an IP address, a host with a port, or a dotted domain name.
func external(host string) bool {
	return strings.ContainsAny(host, ".:[]")
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing can be done about it, as in net/http
	}
}
