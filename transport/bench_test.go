package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
)

// quote is the 204-byte body that a POST carries.
var quote = []byte(`{"customer":"c-1029","currency":"EUR","lines":[` +
	`{"product":"teapot","quantity":2},{"product":"cup-and-saucer","quantity":6},` +
	`{"product":"strainer","quantity":1},{"product":"sugar-tongs","quantity":1}]}    `)

var quoted = []byte(`{"total":{"amount":12345,"currency":"EUR"}}`)

func serveQuote(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(quoted)
}

// BenchmarkCall compares a whole call on loopback, client and server in this
// process, through gabion with everything on (discovery, balancing, breaker,
// retries, limits, metrics, traces sampled at 1 %) with bare net/http.
func BenchmarkCall(b *testing.B) {
	for _, kind := range []struct {
		name  string
		start func(b *testing.B) (*http.Client, string)
	}{{"bare", startBare}, {"gabion", startGabion}} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, c := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/%s/c=%d", kind.name, method, c), func(b *testing.B) {
					client, url := kind.start(b)
					benchCalls(b, client, method, url, c)
				})
			}
		}
	}
}

func benchCalls(b *testing.B, client *http.Client, method, url string, concurrent int) {
	call := func() error {
		var body io.Reader
		if method == http.MethodPost {
			body = bytes.NewReader(quote)
		}
		req, err := http.NewRequestWithContext(b.Context(), method, url, body)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}
	for range 100 { // connections, tables and pools
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, concurrent)
	for range concurrent {
		go func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range concurrent {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func listen(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func startBare(b *testing.B) (*http.Client, string) {
	l := listen(b)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/quote", serveQuote)
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	tr := &http.Transport{MaxIdleConnsPerHost: 1024}
	b.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
	})
	return &http.Client{Transport: tr}, "http://" + l.Addr().String() + "/v1/quote"
}

func startGabion(b *testing.B) (*http.Client, string) {
	l := listen(b)
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	t, err := traces.New("bench",
		traces.WithExporter(tracetest.NewNoopExporter()),
		traces.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.01))))
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/quote", serveQuote)
	srv, err := transport.NewServer(mux, transport.WithServerObserver(instrument.Server("pricing", m, t)))
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	backend, err := static.New(map[string][]discovery.Instance{"pricing": {{ID: "pricing-1", Service: "pricing", Addr: l.Addr().String()}}})
	if err != nil {
		b.Fatal(err)
	}
	c, err := transport.NewClient(backend, transport.WithObserver(instrument.Client(m, t)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Close()
		_ = srv.Close()
		_ = backend.Close()
		_ = t.Shutdown(b.Context())
	})
	return c.HTTPClient(), "http://pricing/v1/quote"
}
