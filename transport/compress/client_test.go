package compress_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
)

func TestClient(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Accepts", r.Header.Get("Accept-Encoding"))
		w.Header().Set("Trailer", "X-Sum")
		body := map[string]string{
			"/gzip": zip("hello"), "/x-gzip": zip("hello"), "/bomb": zip(strings.Repeat("x", 2<<20)), "/plain": "hello",
			"/broken": zip("hello")[:20], "/more": zip("hello") + "x", "/twice": zip(zip("hello")), "/deflate": deflate("hello"), "/none": "",
		}[r.URL.Path]
		switch r.URL.Path {
		case "/plain":
		case "/twice":
			w.Header().Set("Content-Encoding", "gzip, gzip")
		case "/deflate", "/x-gzip":
			w.Header().Set("Content-Encoding", r.URL.Path[1:])
		default:
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, _ = io.WriteString(w, body)
		w.Header().Set("X-Sum", "7")
	}))
	defer srv.Close()
	c := &http.Client{Transport: compress.Client(&http.Transport{DisableCompression: true}, 1<<20)}
	defer c.CloseIdleConnections()
	for name, tc := range map[string]struct {
		method, path string
		header       [2]string
		body         string
		unpacked     bool
		fails        error // any that matches; io.EOF for any at all
	}{
		"gzip":            {path: "/gzip", body: "hello", unpacked: true},
		"x-gzip":          {path: "/x-gzip", body: "hello", unpacked: true},
		"plain":           {path: "/plain", body: "hello"},
		"nothing":         {path: "/none", body: "", unpacked: true},
		"bomb":            {path: "/bomb", unpacked: true, fails: transport.ErrBodyTooLarge},
		"broken":          {path: "/broken", unpacked: true, fails: io.ErrUnexpectedEOF},
		"something after": {path: "/more", unpacked: true, fails: io.EOF},
		"twice":           {path: "/twice", body: zip(zip("hello"))},
		"not asked for":   {path: "/deflate", body: deflate("hello")},
		"its own wish":    {path: "/gzip", header: [2]string{"Accept-Encoding", "gzip"}, body: zip("hello")},
		"a part":          {path: "/gzip", header: [2]string{"Range", "bytes=0-"}, body: zip("hello")},
		"HEAD":            {method: "HEAD", path: "/gzip", body: ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), tc.method, srv.URL+tc.path, nil)
			if tc.header[0] != "" {
				req.Header.Set(tc.header[0], tc.header[1])
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			if tc.fails != nil {
				if err == nil || !errors.Is(tc.fails, io.EOF) && !errors.Is(err, tc.fails) || len(b) > 1<<20 {
					t.Errorf("read %d bytes and %v, want %v", len(b), err, tc.fails)
				}
				return
			}
			if err != nil || string(b) != tc.body {
				t.Errorf("got %.20q %v, want %.20q", b, err, tc.body)
			}
			if resp.Uncompressed != tc.unpacked || tc.unpacked && (resp.ContentLength != -1 || resp.Header["Content-Encoding"] != nil || resp.Trailer.Get("X-Sum") != "7") {
				t.Errorf("got %+v", resp)
			}
			if resp.Request != req || tc.header[0] == "" && len(req.Header) != 0 {
				t.Errorf("the request is changed: %v", req.Header)
			}
			if tc.header[0] == "" && tc.method == "" && resp.Header.Get("X-Accepts") != "gzip" {
				t.Errorf("asked for %q", resp.Header.Get("X-Accepts"))
			}
		})
	}
}

// A body that is closed is not read any more.
func TestClientClose(t *testing.T) {
	h := responses(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) }, compress.Settings{})
	srv := httptest.NewServer(h)
	defer srv.Close()
	c := compress.Client(srv.Client().Transport, 0)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
	if n, err := resp.Body.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("read %d bytes and %v after Close", n, err)
	}
}
