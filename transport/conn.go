package transport

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// connSet holds the connections of a service, by endpoint.
type connSet struct {
	svc    *service
	conns  sync.Map // *balance.Endpoint -> *conn
	closed atomic.Bool
}

func (s *connSet) init(svc *service) { s.svc = svc }

// acquire returns what carries a request to e. It must be released.
func (s *connSet) acquire(e *balance.Endpoint, now time.Time) *pool {
	if c, ok := s.conns.Load(e); ok {
		return c.(*conn).acquire(now)
	}
	c, _ := s.conns.LoadOrStore(e, newConn(s.svc, e))
	return c.(*conn).acquire(now)
}

// drop retires the connections to an endpoint that has departed.
func (s *connSet) drop(e *balance.Endpoint) {
	if c, ok := s.conns.LoadAndDelete(e); ok {
		c.(*conn).retire()
	}
}

// settle follows each use of the connections to e: if it was picked before it
// departed and connected to afterwards, there is something to drop once more.
func (s *connSet) settle(e *balance.Endpoint) {
	if s.closed.Load() || e.State() == balance.Draining && !slices.Contains(s.svc.balancer.Endpoints(), e) {
		s.drop(e)
	}
}

// close drops the connections to all endpoints, and whatever is made from now
// on when it is no longer in use.
func (s *connSet) close() {
	s.closed.Store(true)
	s.conns.Range(func(e, _ any) bool {
		s.drop(e.(*balance.Endpoint))
		return true
	})
}

func (s *connSet) closeIdle() {
	s.conns.Range(func(_, c any) bool {
		c.(*conn).closeIdle()
		return true
	})
}

// conn is the connections to one endpoint. Connections older than the
// client's maximum age get no new request: the pool is replaced as a whole.
type conn struct {
	svc *service

	mu      sync.RWMutex
	pool    *pool
	expires time.Time // zero for never
}

func newConn(s *service, e *balance.Endpoint) *conn {
	c := &conn{svc: s}
	if l := s.client.cfg.locals[s.name]; l != nil && e.Addr() == localAddr {
		c.pool = &pool{RoundTripper: l}
	} else {
		c.renew()
	}
	return c
}

func (c *conn) acquire(now time.Time) *pool {
	c.mu.RLock()
	p := c.pool
	if c.expires.IsZero() || now.Before(c.expires) {
		p.users.Add(1)
		c.mu.RUnlock()
		return p
	}
	c.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool == p { // nobody else has renewed it
		p.retire()
		c.renew()
	}
	c.pool.users.Add(1)
	return c.pool
}

// renew must run under the lock, or before c is shared.
func (c *conn) renew() {
	t := c.svc.newTransport()
	c.pool = &pool{RoundTripper: t, transport: t, multiplexed: c.svc.mayHTTP2()}
	if age := c.svc.client.cfg.connAge; age > 0 {
		c.expires = time.Now().Add(age - time.Duration(random.Float64(c.svc.rand)*0.1*float64(age)))
	}
}

func (c *conn) closeIdle() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.pool.closeIdle()
}

func (c *conn) retire() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.pool.retire()
}

// A pool is the connections to one endpoint that were made in one period. Once
// it is retired they close as they become idle, the last with its last user.
type pool struct {
	http.RoundTripper
	transport   *http.Transport // nil in process
	multiplexed bool            // whether connections may carry several requests
	users       atomic.Int64
	retired     atomic.Bool
}

// streamEnd is how long HTTP/2 may take to forget a stream whose response has
// been read: until then its connection is not idle.
const streamEnd = time.Second

func (p *pool) release() {
	if p.users.Add(-1) == 0 && p.retired.Load() {
		p.closeIdle()
	}
}

func (p *pool) retire() {
	p.retired.Store(true)
	p.closeIdle()
}

// closeIdle closes idle connections. Of a retired pool it closes those in use
// too, when they become idle: http.Transport does so until the next request.
// With HTTP/2 it does not, so that those are looked after a little later.
func (p *pool) closeIdle() {
	if p.transport == nil {
		return
	}
	p.transport.CloseIdleConnections()
	if p.multiplexed && p.retired.Load() {
		time.AfterFunc(streamEnd, p.transport.CloseIdleConnections)
	}
}

// newTransport returns what connects to one endpoint.
func (s *service) newTransport() *http.Transport {
	cfg := &s.client.cfg
	t := &http.Transport{
		Proxy:                  oneConnection,
		DialContext:            cfg.dial,
		MaxIdleConnsPerHost:    cfg.maxConns,
		MaxConnsPerHost:        cfg.maxConns,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    2 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true, // a body passes through as it was sent
		Protocols:              cfg.protocols,
		HTTP2: &http.HTTP2Config{
			// A peer that is silent for so long is asked, and given up when it
			// is for as long again; so is one that takes nothing meanwhile.
			SendPingTimeout: cfg.silence, PingTimeout: cfg.silence, WriteByteTimeout: cfg.silence,
		},
	}
	if s.tls {
		t.TLSClientConfig = s.tlsConfig()
		if t.Protocols == nil {
			t.ForceAttemptHTTP2 = true
		}
	}
	return t
}

// replayKeys are the headers by which net/http knows that a request may be sent
// again.
var replayKeys = [...]string{"Idempotency-Key", "X-Idempotency-Key"}

// onceOnly returns h so that net/http does not send the request again by itself
// when a connection breaks that had been used before: it would do so on one
// such connection after the other, whatever the policy and the budget say. It
// looks for the keys in their canonical form; servers do not care. What only
// reads is seen to by oneConnection.
func onceOnly(h http.Header) http.Header {
	for _, key := range replayKeys {
		if values, ok := h[key]; ok {
			h = maps.Clone(h)
			delete(h, key)
			h[strings.ToLower(key)] = values
		}
	}
	return h
}

// mayHTTP2 reports whether connections may speak HTTP/2.
func (s *service) mayHTTP2() bool {
	p := s.client.cfg.protocols
	return s.tls || p != nil && p.UnencryptedHTTP2()
}

func (s *service) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.client.cfg.tls != nil {
		cfg = s.client.cfg.tls.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = s.name
		if h, _, err := net.SplitHostPort(s.name); err == nil {
			cfg.ServerName = h
		}
	}
	return cfg
}
