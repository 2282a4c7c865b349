package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// settings are what must be known before the exporter is made. The exporter
// reads the rest of the environment itself; it would ignore what is wrong and
// show it, secrets included, on standard error, so everything is checked here.
type settings struct {
	hasEndpoint bool
	timeout     time.Duration
	tls         *tls.Config // nil for the system's roots and no client certificate
}

// variable returns the value of OTEL_EXPORTER_OTLP_TRACES_suffix, or else of
// OTEL_EXPORTER_OTLP_suffix, and the name of the one that is set.
func variable(suffix string) (name, value string) {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if v := strings.TrimSpace(os.Getenv(prefix + suffix)); v != "" {
			return prefix + suffix, v
		}
	}
	return "OTEL_EXPORTER_OTLP_" + suffix, ""
}

func settingsFromEnv() (settings, error) {
	s := settings{}
	var badEndpoint, badTimeout, badTLS error
	s.hasEndpoint, badEndpoint = checkEndpoint()
	s.timeout, badTimeout = timeoutFromEnv()
	s.tls, badTLS = tlsFromEnv()
	return s, errors.Join(badEndpoint, badTimeout, badTLS, checkHeaders(), checkChoice(
		"PROTOCOL", "http/protobuf", "http/json"), checkChoice("COMPRESSION", "gzip", "none"))
}

func checkEndpoint() (set bool, err error) {
	name, value := variable("ENDPOINT")
	if value == "" {
		return false, nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return true, fmt.Errorf("otlp: %s: want a URL such as http://localhost:4318", name) // value may hold a password
	}
	return true, nil
}

func timeoutFromEnv() (time.Duration, error) {
	name, value := variable("TIMEOUT")
	if value == "" {
		return 10 * time.Second, nil
	}
	ms, err := strconv.Atoi(value)
	if err != nil || ms <= 0 {
		return 0, fmt.Errorf("otlp: %s %.40q: want a positive number of milliseconds", name, value)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// checkHeaders checks key=value pairs. Its error names no value.
func checkHeaders() error {
	name, value := variable("HEADERS")
	for pair := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, v, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(v); !ok || err != nil || !isToken(strings.TrimSpace(key)) {
			return fmt.Errorf("otlp: %s: want key=value pairs, separated by commas and percent-encoded", name)
		}
	}
	return nil
}

// isToken reports whether s can be the name of a header field (RFC 9110).
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z' && r < 0x80
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

func checkChoice(suffix string, choices ...string) error {
	name, value := variable(suffix)
	if value == "" {
		return nil
	}
	for _, c := range choices {
		if value == c {
			return nil
		}
	}
	return fmt.Errorf("otlp: %s %.40q: want %s", name, value, strings.Join(choices, " or "))
}

// tlsFromEnv reads the certificates that the environment names.
func tlsFromEnv() (*tls.Config, error) {
	caName, ca := variable("CERTIFICATE")
	certName, cert := variable("CLIENT_CERTIFICATE")
	keyName, key := variable("CLIENT_KEY")
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("otlp: %s: %w", caName, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("otlp: %s: no certificate in %s", caName, ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, fmt.Errorf("otlp: %s and %s: want both or none", certName, keyName)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("otlp: %s: %w", certName, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
