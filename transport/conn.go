package transport

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// connSet holds the connections of a service, by endpoint.
type connSet struct {
	svc   *service
	conns sync.Map // *balance.Endpoint -> *conn
}

func (s *connSet) init(svc *service) { s.svc = svc }

// roundTripper returns what carries a request to e.
func (s *connSet) roundTripper(e *balance.Endpoint) http.RoundTripper {
	if c, ok := s.conns.Load(e); ok {
		return c.(*conn).current()
	}
	c, _ := s.conns.LoadOrStore(e, newConn(s.svc, e))
	return c.(*conn).current()
}

// retain drops the connections of all endpoints but keep: idle ones now, those
// in use when their request has ended.
func (s *connSet) retain(keep []*balance.Endpoint) {
	kept := make(map[*balance.Endpoint]bool, len(keep))
	for _, e := range keep {
		kept[e] = true
	}
	s.conns.Range(func(k, c any) bool {
		if !kept[k.(*balance.Endpoint)] {
			s.conns.Delete(k)
			c.(*conn).retire()
		}
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
	svc   *service
	local http.RoundTripper // for an endpoint in this process

	mu      sync.RWMutex
	pool    *http.Transport
	expires time.Time // zero for never
}

func newConn(s *service, e *balance.Endpoint) *conn {
	c := &conn{svc: s}
	if l, ok := s.client.cfg.locals[s.name]; ok && e.Addr() == localAddr {
		c.local = l
		return c
	}
	c.renew()
	return c
}

func (c *conn) current() http.RoundTripper {
	if c.local != nil {
		return c.local
	}
	c.mu.RLock()
	pool, expires := c.pool, c.expires
	c.mu.RUnlock()
	if expires.IsZero() || time.Now().Before(expires) {
		return pool
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expires.Equal(expires) { // nobody else has renewed it
		retirePool(c.pool)
		c.renew()
	}
	return c.pool
}

// renew must run under the lock, or before c is shared.
func (c *conn) renew() {
	c.pool = c.svc.newPool()
	if age := c.svc.client.cfg.connAge; age > 0 {
		c.expires = time.Now().Add(age - time.Duration(random.Float64(c.svc.rand)*0.1*float64(age)))
	}
}

func (c *conn) closeIdle() {
	if c.local != nil {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.pool.CloseIdleConnections()
}

func (c *conn) retire() {
	if c.local != nil {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	retirePool(c.pool)
}

// retirePool closes the pool's idle connections. Those in use become idle
// later and are closed after IdleConnTimeout.
func retirePool(p *http.Transport) { p.CloseIdleConnections() }

// newPool returns the connections to one endpoint.
func (s *service) newPool() *http.Transport {
	cfg := &s.client.cfg
	t := &http.Transport{
		DialContext:            cfg.dial,
		MaxIdleConnsPerHost:    cfg.maxConns,
		MaxConnsPerHost:        cfg.maxConns,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    2 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a body passes through as it was sent
		Protocols:              cfg.protocols,
		HTTP2: &http.HTTP2Config{
			// A peer that is silent for 5 s is asked, and given up after 5 s
			// more; so is one that takes nothing for 5 s.
			SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second, WriteByteTimeout: 5 * time.Second,
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
