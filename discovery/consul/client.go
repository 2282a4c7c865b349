package consul

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// maxHeader bounds the header of an answer.
const maxHeader = 64 << 10

// connect sets up the client, its transport and its token. What conf leaves
// open comes from the environment, by the api package's own rules.
func (b *Backend) connect(dial dialFunc) error {
	conf := api.DefaultConfig()
	b.conf.override(conf)
	token, file := conf.Token, conf.TokenFile
	switch {
	case b.conf.TokenFile != "":
		file = b.conf.TokenFile
	case b.conf.Token != "":
		token, file = b.conf.Token, ""
	}
	var err error
	if b.tokens, err = newTokenSource(token, file); err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(conf.Address, "unix://"); ok {
		conf.Address = "localhost" // stands in the Host header only
		dial = dialUnix(path, dial)
	}
	secure, err := newTLSDialer(conf.TLSConfig, dial)
	if err != nil {
		return err
	}
	b.transport = newTransport(dial, secure)
	conf.HttpClient = &http.Client{
		Transport: &boundedTransport{next: b.transport, limit: b.conf.MaxResponse},
		// Nothing that is used here redirects, and a token must not travel.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	b.client, err = api.NewClient(conf)
	return err
}

// override puts what is set into conf, which holds the environment's. The
// token is not among it: it goes with each request. Nor is the datacenter,
// which is for lookups only.
func (c Config) override(conf *api.Config) {
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&conf.Address, c.Address)
	set(&conf.Namespace, c.Namespace)
	set(&conf.Partition, c.Partition)
	set(&conf.TLSConfig.CAFile, c.TLS.CAFile)
	set(&conf.TLSConfig.CAPath, c.TLS.CAPath)
	set(&conf.TLSConfig.CertFile, c.TLS.CertFile)
	set(&conf.TLSConfig.KeyFile, c.TLS.KeyFile)
	set(&conf.TLSConfig.Address, c.TLS.ServerName)
	if c.TLS.SkipVerify {
		conf.TLSConfig.InsecureSkipVerify = true
	}
	if c.TLS.Enabled {
		conf.Scheme = "https"
	}
}

// newTransport returns a transport without a limit on how long an answer may
// take, because queries block; each request has a context for that.
func newTransport(dial dialFunc, secure *tlsDialer) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		DialTLSContext:         secure.DialContext,
		TLSClientConfig:        secure.config(), // for connections through a proxy
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// dialUnix connects to the socket at path, whatever address is asked for.
func dialUnix(path string, dial dialFunc) dialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, "unix", path)
	}
}
