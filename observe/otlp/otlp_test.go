package otlp_test

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/observe/otlp"
	"github.com/gabion-go/gabion/observe/traces"
)

// backend is a collector that remembers what it was sent.
type backend struct {
	*httptest.Server

	mu     sync.Mutex
	names  []string
	header http.Header
	path   string
}

// newBackend starts a backend that answers with handler if there is one.
func newBackend(t *testing.T, handler http.HandlerFunc, start func(*httptest.Server)) *backend {
	b := &backend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler != nil {
			handler(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &req) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.remember(r, &req)
	}))
	start(b.Server)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) remember(r *http.Request, req *collector.ExportTraceServiceRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.header, b.path = r.Header, r.URL.Path
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				b.names = append(b.names, s.Name)
			}
		}
	}
}

// export sends one span through a provider and returns how many were dropped.
func export(t *testing.T, timeout time.Duration) (dropped int) {
	t.Helper()
	e, err := otlp.Exporter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := traces.New("cart", traces.WithExporter(e), traces.WithDropped(func(n int) { dropped += n }))
	if err != nil {
		t.Fatal(err)
	}
	_, span := p.Tracer("test").Start(context.Background(), "GET /carts/{id}")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	_ = p.Shutdown(ctx) // what it lost is in dropped
	return dropped
}

func TestExport(t *testing.T) {
	leaktest.Check(t)
	b := newBackend(t, nil, (*httptest.Server).Start)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", b.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3%20cret")
	if dropped := export(t, 5*time.Second); dropped != 0 {
		t.Errorf("%d spans dropped", dropped)
	}
	if len(b.names) != 1 || b.names[0] != "GET /carts/{id}" {
		t.Errorf("spans %q", b.names)
	}
	if got := b.header.Get("Api-Key"); got != "s3 cret" || b.path != "/v1/traces" {
		t.Errorf("api-key %q, path %q", got, b.path)
	}
}

func TestExportOverTLS(t *testing.T) {
	b := newBackend(t, nil, (*httptest.Server).StartTLS)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", b.URL+"/custom")
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
	if dropped := export(t, 5*time.Second); dropped != 0 || len(b.names) != 1 || b.path != "/custom" {
		t.Errorf("%d dropped, spans %q at %q", dropped, b.names, b.path)
	}
}

// What a back end does wrong costs spans, not time and not memory.
func TestHostileBackends(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"busy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			var elsewhere atomic.Bool
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				elsewhere.Store(elsewhere.Load() || r.URL.Path == "/elsewhere")
				_, _ = io.Copy(io.Discard, r.Body) // the client's leaving shows only after the body
				handler(w, r)
			}, (*httptest.Server).Start)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", b.URL)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
			start := time.Now()
			if dropped := export(t, time.Second); dropped != 1 {
				t.Errorf("%d spans dropped, want 1", dropped)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Shutdown took %v, want about 1 s at most", took)
			}
			if elsewhere.Load() {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	b := newBackend(t, nil, (*httptest.Server).Start)
	b.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", b.URL)
	if dropped := export(t, time.Second); dropped != 1 {
		t.Errorf("%d spans dropped, want 1", dropped)
	}
}

func TestBadEnvironment(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for variable, values := range map[string][]string{
		"ENDPOINT":           {"localhost:4318", "ftp://a", "http://", "http://u:s3cret@%zz"},
		"TRACES_TIMEOUT":     {"10s", "0", "-1"},
		"HEADERS":            {"s3cret", "a b=s3cret", "a=%zzs3cret", "=s3cret"},
		"PROTOCOL":           {"grpc"},
		"COMPRESSION":        {"zip"},
		"CERTIFICATE":        {"/nowhere/ca.pem", empty},
		"CLIENT_CERTIFICATE": {empty},
		"CLIENT_KEY":         {empty},
	} {
		for _, value := range values {
			t.Run(variable+" "+filepath.Base(value), func(t *testing.T) {
				t.Setenv("OTEL_EXPORTER_OTLP_"+variable, value)
				_, err := otlp.Exporter(t.Context())
				if err == nil || !strings.Contains(err.Error(), variable) {
					t.Errorf("%s=%s: error %v, want one that names it", variable, value, err)
				} else if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error shows a secret: %v", err)
				}
			})
		}
	}
}
