package compress_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
)

func zip(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func deflate(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func TestRequests(t *testing.T) {
	const limit = 1 << 20
	for name, tc := range map[string]struct {
		coding []string
		body   string
		status int
		read   string // by the handler
	}{
		"plain":             {nil, "hello", 200, "hello"},
		"plain, large":      {nil, strings.Repeat("x", 2*limit), 200, strings.Repeat("x", 2*limit)},
		"identity":          {[]string{"identity"}, "hello", 200, "hello"},
		"gzip":              {[]string{"gzip"}, zip("hello"), 200, "hello"},
		"x-gzip":            {[]string{"X-GZip"}, zip("hello"), 200, "hello"},
		"deflate":           {[]string{"deflate"}, deflate("hello"), 200, "hello"},
		"nothing in gzip":   {[]string{"gzip"}, zip(""), 200, ""},
		"nothing":           {[]string{"gzip"}, "", 200, ""},
		"gzip, identity":    {[]string{"gzip, identity"}, zip("hello"), 200, "hello"},
		"just fits":         {[]string{"gzip"}, zip(strings.Repeat("x", limit)), 200, strings.Repeat("x", limit)},
		"one byte more":     {[]string{"gzip"}, zip(strings.Repeat("x", limit+1)), 413, ""},
		"twice":             {[]string{"gzip, gzip"}, zip(zip("hello")), 415, ""},
		"twice, two lines":  {[]string{"gzip", "gzip"}, zip(zip("hello")), 415, ""},
		"mixed":             {[]string{"deflate, gzip"}, zip(deflate("hello")), 415, ""},
		"unknown":           {[]string{"br"}, "hello", 415, ""},
		"not compressed":    {[]string{"gzip"}, "hello", 400, ""},
		"raw deflate":       {[]string{"deflate"}, deflate("hello")[2:], 400, ""},
		"cut":               {[]string{"gzip"}, zip("hello")[:20], 400, ""},
		"bad checksum":      {[]string{"gzip"}, strings.Replace(zip("hello"), zip("hello")[len(zip("hello"))-8:], "12345678", 1), 400, ""},
		"something after":   {[]string{"gzip"}, zip("hello") + "x", 400, ""},
		"another after":     {[]string{"gzip"}, zip("hello") + zip("world"), 400, ""},
		"too large as sent": {[]string{"gzip"}, zip("hello") + strings.Repeat("x", 2*limit), 400, ""},
		"bomb":              {[]string{"gzip"}, zip(strings.Repeat("x", 2<<20)), 413, ""},
		"bomb of zlib":      {[]string{"deflate"}, deflate(strings.Repeat("x", 2<<20)), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := compress.Requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if enc := r.Header["Content-Encoding"]; len(enc) > 0 && enc[0] != "identity" || tc.coding != nil && tc.body != "" && len(enc) == 0 && r.ContentLength != -1 {
					t.Errorf("the handler sees encoding %q and length %d", enc, r.ContentLength)
				}
				b, err := io.ReadAll(r.Body)
				if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge.Limit == limit {
					w.WriteHeader(413)
					return
				}
				if err != nil {
					w.WriteHeader(400)
					return
				}
				if string(b) != tc.read {
					t.Errorf("read %d bytes %.20q, want %d", len(b), b, len(tc.read))
				}
			}), limit)
			r := httptest.NewRequest("POST", "/", strings.NewReader(tc.body))
			r.Header["Content-Encoding"] = tc.coding
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.status {
				t.Errorf("answered %d, want %d", w.Code, tc.status)
			}
			if w.Code == 415 && (w.Header().Get("Accept-Encoding") != "gzip, deflate" || w.Header().Get("Content-Type") != "application/problem+json") {
				t.Errorf("answered %v, want what is accepted", w.Header())
			}
			if fmt.Sprint(r.Header["Content-Encoding"]) != fmt.Sprint(tc.coding) {
				t.Errorf("the request that was given is changed: %v", r.Header)
			}
		})
	}
}

// A bomb is found out without its size in memory.
func TestBomb(t *testing.T) {
	bomb := zip(`{"a":"` + strings.Repeat("x", 5<<20) + `"}`)
	h := compress.Requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/json" {
			var v map[string]any
			_ = transport.DecodeJSON(w, r, &v)
			return
		}
		if n, err := io.Copy(io.Discard, r.Body); n != compress.MaxBytes || err == nil {
			t.Errorf("read %d bytes with %v, want no more than the bound", n, err)
		}
	}), 0)
	post := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, strings.NewReader(bomb))
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = post("/")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("%d KiB were allocated to read a bomb, want 2 MiB at most", grown>>10)
	}
	if w := post("/json"); w.Code != 413 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %d %v, want a 413 problem", w.Code, w.Header())
	}
}

// The route that a mux behind the middleware finds is seen in front of it.
func TestRequestsKeepTheRoute(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /items/{id}", func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest("POST", "/items/7", strings.NewReader(zip("x")))
	r.Header.Set("Content-Encoding", "gzip")
	compress.Requests(mux, 0).ServeHTTP(httptest.NewRecorder(), r)
	if r.Pattern != "POST /items/{id}" {
		t.Errorf("got %q", r.Pattern)
	}
}

// A Read that is going on when the handler returns keeps its decompressor.
func TestReadBeyondTheHandler(t *testing.T) {
	var left sync.WaitGroup
	in, feed := io.Pipe()
	h := compress.Requests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun := make(chan struct{})
		left.Go(func() {
			close(begun)
			for {
				if _, err := r.Body.Read(make([]byte, 10)); err != nil {
					return
				}
			}
		})
		<-begun
	}), 0)
	for range 20 {
		r := httptest.NewRequest("POST", "/", in)
		r.Header.Set("Content-Encoding", "gzip")
		h.ServeHTTP(httptest.NewRecorder(), r)
		other := httptest.NewRequest("POST", "/", strings.NewReader(zip("hello")))
		other.Header.Set("Content-Encoding", "gzip")
		h.ServeHTTP(httptest.NewRecorder(), other)
	}
	_ = feed.Close()
	left.Wait()
}

// FuzzRequests holds that whatever comes is bounded and, when accepted, what
// the standard library reads from it.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{zip("hello"), deflate("hello"), zip("a") + zip("b"), zip("x")[:5], "", "x"} {
		f.Add(true, s)
		f.Add(false, s)
	}
	f.Fuzz(func(t *testing.T, isGzip bool, data string) {
		coding := "deflate"
		open := func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }
		if isGzip {
			coding = "gzip"
			open = func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
		}
		h := compress.Requests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if len(b) > 1000 {
				t.Fatalf("read %d bytes, want no more than 1000", len(b))
			}
			if err != nil || data == "" {
				return
			}
			z, err := open(strings.NewReader(data))
			if err != nil {
				t.Fatalf("accepted what is %v", err)
			}
			if want, err := io.ReadAll(z); err != nil || !bytes.Equal(b, want) {
				t.Fatalf("read %q, want %q %v", b, want, err)
			}
		}), 1000)
		r := httptest.NewRequest("POST", "/", strings.NewReader(data))
		r.Header.Set("Content-Encoding", coding)
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}
