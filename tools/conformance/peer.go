package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/conformance/internal"
	conformance "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
)

// peer is a server that is to be called, and how.
type peer struct {
	peerKey
	addr string
	tls  *tls.Config // nil for none
	once bool        // on a connection that nothing else uses
}

// peerKey is what calls have in common that can share a client.
type peerKey struct {
	version       conformance.HTTPVersion
	ca, cert, key string
}

func peerOf(req *conformance.ClientCompatRequest) (peer, error) {
	p := peer{
		peerKey: peerKey{
			version: req.GetHttpVersion(),
			ca:      string(req.GetServerTlsCert()),
			cert:    string(req.GetClientTlsCreds().GetCert()),
			key:     string(req.GetClientTlsCreds().GetKey()),
		},
		addr: net.JoinHostPort(req.GetHost(), strconv.Itoa(int(req.GetPort()))),
	}
	p.once = p.version == conformance.HTTPVersion_HTTP_VERSION_1 && (req.Cancel != nil || req.TimeoutMs != nil)
	if p.ca == "" {
		return p, nil
	}
	cfg, err := internal.NewClientTLSConfig(req.GetServerTlsCert(), req.GetClientTlsCreds().GetCert(), req.GetClientTlsCreds().GetKey())
	if err != nil {
		return peer{}, err
	}
	p.tls = cfg
	p.tls.ServerName = req.GetHost() // a service's name is not in the certificate
	return p, nil
}

func (p peer) scheme() string {
	if p.tls != nil {
		return "https"
	}
	return "http"
}

// protocols returns the one version of HTTP to speak.
func protocols(version conformance.HTTPVersion, secure bool) (*http.Protocols, error) {
	var p http.Protocols
	switch {
	case version == conformance.HTTPVersion_HTTP_VERSION_1:
		p.SetHTTP1(true)
	case version == conformance.HTTPVersion_HTTP_VERSION_2 && secure:
		p.SetHTTP2(true)
	case version == conformance.HTTPVersion_HTTP_VERSION_2:
		p.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("cannot speak %v", version)
	}
	return &p, nil
}

// plainDialer makes clients of net/http.
type plainDialer struct{}

type plainClient struct{ *http.Transport }

func (plainDialer) dial(want peer) (roundTripper, error) {
	p, err := protocols(want.version, want.tls != nil)
	if err != nil {
		return nil, err
	}
	return plainClient{&http.Transport{Protocols: p, TLSClientConfig: want.tls, DisableCompression: true}}, nil
}

func (c plainClient) host(addr string) (string, error) { return addr, nil }
func (c plainClient) close()                           { c.CloseIdleConnections() }

// gabionDialer makes clients of gabion. Each server is a service with one
// instance.
type gabionDialer struct{}

type gabionClient struct {
	*transport.Client
	registry *static.Backend
}

// policy is the default one but for its time, which streams need, and for the
// circuit breaker: the suite has servers fail on purpose.
func policy() transport.Policy {
	return transport.Policy{
		Timeout: time.Minute, AttemptTimeout: time.Minute,
		Breaker: breaker.Settings{Consecutive: -1, MinCalls: 1 << 20},
	}
}

func (gabionDialer) dial(want peer) (roundTripper, error) {
	p, err := protocols(want.version, want.tls != nil)
	if err != nil {
		return nil, err
	}
	registry, err := static.New(nil)
	if err != nil {
		return nil, err
	}
	opts := []transport.ClientOption{transport.WithPolicy(policy()), transport.WithProtocols(p)}
	if want.tls != nil {
		opts = append(opts, transport.WithTLS(want.tls))
	}
	c, err := transport.NewClient(registry, opts...)
	return gabionClient{c, registry}, err
}

func (c gabionClient) host(addr string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	name := "server-" + port
	return name, c.registry.Set(name, []discovery.Instance{{Service: name, Addr: addr}})
}

func (c gabionClient) close() {
	_ = c.Client.Close()
	_ = c.registry.Close()
}
