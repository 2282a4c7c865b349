package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
)

// certificate returns a certificate that signs itself for name, and a pool
// that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// https://cart/ goes to an instance's address but its certificate must carry
// the service's name; HTTP/2 is negotiated.
func TestTLSByServiceName(t *testing.T) {
	leaktest.Check(t)
	good, pool := certificate(t, "cart")
	other, otherPool := certificate(t, "pricing")
	for name, tc := range map[string]struct {
		cert tls.Certificate
		pool *x509.CertPool
		ok   bool
	}{
		"its name":        {good, pool, true},
		"another name":    {other, otherPool, false},
		"another issuer":  {good, otherPool, false},
		"nobody is asked": {good, x509.NewCertPool(), false},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				fmt.Fprint(w, r.Proto)
			}), transport.WithServerTLS(&tls.Config{Certificates: []tls.Certificate{tc.cert}}))
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(l) }()
			registry, err := static.New(map[string][]discovery.Instance{"cart": {{ID: "c1", Service: "cart", Addr: l.Addr().String()}}})
			if err != nil {
				t.Fatal(err)
			}
			c, err := transport.NewClient(registry, patient, transport.WithTLS(&tls.Config{RootCAs: tc.pool}))
			if err != nil {
				t.Fatal(err)
			}
			status, body, err := do(t.Context(), c, http.MethodPost, "https://cart/carts", "{}", nil)
			if tc.ok && (status != 200 || body != "HTTP/2.0") {
				t.Errorf("got %d %q %v, want 200 over HTTP/2", status, body, err)
			}
			if !tc.ok && (err == nil || calls != 0) {
				t.Errorf("got %d %v after %d calls, want a refusal before any", status, err, calls)
			}
			_ = c.Close()
			_ = srv.Close()
			_ = registry.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
