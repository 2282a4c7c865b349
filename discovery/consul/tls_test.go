package consul_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery/consul"
)

// authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue returns a certificate for consul.test and its key, in PEM.
func (a *authority) issue() (cert, key []byte) {
	a.t.Helper()
	k := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"consul.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// server returns a server's configuration that trusts the same authority.
func (a *authority) server() *tls.Config {
	a.t.Helper()
	cert, key := a.issue()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Certificates and authorities are replaced while the backend runs.
func TestTLSRotation(t *testing.T) {
	dir := t.TempDir()
	caFile, certFile, keyFile := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := newAuthority(t, "one"), newAuthority(t, "two")
	issue := func(a *authority) {
		cert, key := a.issue()
		write(certFile, cert)
		write(keyFile, key)
	}
	write(caFile, one.pem)
	issue(one)

	var current atomic.Pointer[tls.Config]
	serverOne, serverTwo := one.server(), two.server()
	current.Store(serverOne)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTLS(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil }})
		b := f.open(consul.Config{
			Address: "consul.test:8501",
			TLS:     consul.TLS{Enabled: true, CAFile: caFile, CertFile: certFile, KeyFile: keyFile},
		})
		r := register(t, b, web1, nil)
		// works reports whether requests on new connections succeed.
		works := func() bool {
			f.net.setDown(true)
			f.net.setDown(false)
			time.Sleep(10 * time.Second)
			return r.Err() == nil
		}
		if !works() {
			t.Fatalf("with the first files: %v", r.Err())
		}
		write(caFile, append(append([]byte{}, one.pem...), two.pem...))
		issue(two)
		current.Store(serverTwo)
		if !works() {
			t.Errorf("with both authorities: %v", r.Err())
		}
		write(caFile, []byte("-----BEGIN CERT"))
		write(certFile, nil)
		if !works() {
			t.Errorf("with half-written files: %v", r.Err())
		}
		write(caFile, two.pem)
		issue(two)
		if !works() {
			t.Errorf("with the second authority: %v", r.Err())
		}
		current.Store(serverOne)
		if works() {
			t.Error("an authority that was removed is still trusted")
		}
	})
}

func TestTLSName(t *testing.T) {
	ca := newAuthority(t, "ca")
	dir := t.TempDir()
	cert, key := ca.issue()
	for name, content := range map[string][]byte{"ca": ca.pem, "cert": cert, "key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := consul.TLS{Enabled: true, CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	for name, tt := range map[string]struct {
		address string
		change  func(*consul.TLS)
		works   bool
	}{
		"right name":  {"consul.test:8501", func(*consul.TLS) {}, true},
		"https":       {"https://consul.test:8501", func(c *consul.TLS) { c.Enabled = false }, true},
		"wrong name":  {"other.test:8501", func(*consul.TLS) {}, false},
		"server name": {"other.test:8501", func(c *consul.TLS) { c.ServerName = "consul.test" }, true},
		"skip verify": {"other.test:8501", func(c *consul.TLS) { c.SkipVerify = true }, true},
		"no client":   {"consul.test:8501", func(c *consul.TLS) { c.CertFile, c.KeyFile = "", "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeTLS(t, ca.server())
				conf := consul.Config{Address: tt.address, TLS: files}
				tt.change(&conf.TLS)
				r := register(t, f.open(conf), web1, nil)
				time.Sleep(10 * time.Second)
				if err := r.Err(); (err == nil) != tt.works {
					t.Errorf("error %v, want one: %v", err, !tt.works)
				}
			})
		})
	}
}
