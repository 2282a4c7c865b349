package consul

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/consul/api"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A tlsDialer makes TLS connections with what the certificate files hold when
// a connection is made. Files that are missing or half written at that moment
// leave those that were read last standing.
type tlsDialer struct {
	dial  dialFunc
	files api.TLSConfig

	mu   sync.Mutex
	last *tls.Config
}

// newTLSDialer reads the files once, so that what is wrong with them shows at
// the start.
func newTLSDialer(files api.TLSConfig, dial dialFunc) (*tlsDialer, error) {
	conf, err := api.SetupTLSConfig(&files)
	if err != nil {
		return nil, fmt.Errorf("discovery/consul: TLS: %w", err)
	}
	return &tlsDialer{dial: dial, files: files, last: conf}, nil
}

// DialContext connects and shakes hands, both bounded by ctx.
func (d *tlsDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conf := d.config()
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		conf.ServerName = host
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// config returns a configuration that the caller may change.
func (d *tlsDialer) config() *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := d.files
	if conf, err := api.SetupTLSConfig(&files); err == nil {
		d.last = conf
	}
	return d.last.Clone()
}
