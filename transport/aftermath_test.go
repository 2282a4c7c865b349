package transport_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
	"github.com/gabion-go/gabion/transport/requestid"
)

// net/http deletes the files of a form when its handler has returned, if the
// request that it made knows of them.
func TestFilesOfFormsAreDeleted(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"server":    func(h http.Handler) http.Handler { return h },
		"requestid": func(h http.Handler) http.Handler { return requestid.Handler(h, requestid.Settings{}) },
		"compress":  func(h http.Handler) http.Handler { return compress.Requests(h, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			var files atomic.Int32
			srv, err := transport.NewServer(wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseMultipartForm(0); err != nil {
					t.Error(err)
				}
				made, _ := os.ReadDir(dir)
				files.Store(int32(len(made)))
			})))
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(srv)
			defer server.Close()
			resp, err := server.Client().Do(form(t, server.URL, name == "compress"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			server.Close() // waits for the connection, and so for the end of the request
			if left, _ := os.ReadDir(dir); files.Load() == 0 || len(left) > 0 {
				t.Errorf("%d files made and %d left, want some and none", files.Load(), len(left))
			}
		})
	}
}

// form returns a request with a file of 1 MiB, too large to be kept in memory.
func form(t *testing.T, url string, compressed bool) *http.Request {
	t.Helper()
	var body bytes.Buffer
	var to io.Writer = &body
	z := gzip.NewWriter(&body)
	if compressed {
		to = z
	}
	m := multipart.NewWriter(to)
	w, err := m.CreateFormFile("f", "f.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 1<<20)))
	_ = m.Close()
	if compressed {
		_ = z.Close()
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	if compressed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req
}

// Requests that are exempt from the limit have a route too.
func TestExemptRequestsHaveARoute(t *testing.T) {
	mux, seen := http.NewServeMux(), &lastRequest{}
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	srv, err := transport.NewServer(mux, transport.WithServerObserver(seen), transport.WithExempt(func(*http.Request) bool { return true }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close() }()
	srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/livez", nil))
	if seen.route != "GET /livez" {
		t.Errorf("route %q", seen.route)
	}
}

// lastRequest remembers the route of the last request.
type lastRequest struct{ route string }

func (l *lastRequest) StartRequest(ctx context.Context, _ *transport.Request) context.Context {
	return ctx
}

func (l *lastRequest) EndRequest(_ context.Context, q *transport.Request) {
	l.route = q.Route
}
