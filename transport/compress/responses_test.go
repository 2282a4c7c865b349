package compress_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport/compress"
)

var long = strings.Repeat("gabion ", 1000)

func responses(t *testing.T, h http.HandlerFunc, s compress.Settings) http.Handler {
	t.Helper()
	c, err := compress.Responses(h, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unzip(t *testing.T, r io.Reader) string {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResponses(t *testing.T) {
	type header map[string]string
	for name, tc := range map[string]struct {
		method   string // GET if empty
		accept   string // gzip if empty
		header   header // that the handler sets
		status   int    // that the handler answers; 0: it just writes
		body     string
		packed   bool
		vary     string
		settings compress.Settings
		want     header
	}{
		"JSON":               {header: header{"Content-Type": "application/json"}, body: long, packed: true, vary: "Accept-Encoding"},
		"with a charset":     {header: header{"Content-Type": "Text/HTML; charset=utf-8"}, body: long, packed: true, vary: "Accept-Encoding"},
		"suffix":             {header: header{"Content-Type": "application/problem+json"}, body: long, packed: true, vary: "Accept-Encoding"},
		"an error":           {status: 404, header: header{"Content-Type": "application/json"}, body: long, packed: true, vary: "Accept-Encoding"},
		"length known":       {header: header{"Content-Type": "text/plain", "Content-Length": fmt.Sprint(len(long))}, body: long, packed: true, vary: "Accept-Encoding"},
		"type to be guessed": {body: long, packed: true, vary: "Accept-Encoding", want: header{"Content-Type": "text/plain; charset=utf-8"}},
		"guessed binary":     {body: "\x89PNG\x0d\x0a\x1a\x0a" + long, vary: "Accept-Encoding", want: header{"Content-Type": "image/png"}},
		"small":              {header: header{"Content-Type": "text/plain"}, body: "small", vary: "Accept-Encoding", want: header{"Content-Length": "5"}},
		"small by length":    {header: header{"Content-Type": "text/plain", "Content-Length": "5"}, body: "small", vary: "Accept-Encoding"},
		"small but asked":    {header: header{"Content-Type": "text/plain"}, body: "small", packed: true, vary: "Accept-Encoding", settings: compress.Settings{MinBytes: 1}},
		"picture":            {header: header{"Content-Type": "image/png"}, body: long},
		"another type":       {header: header{"Content-Type": "image/png"}, body: long, packed: true, vary: "Accept-Encoding", settings: compress.Settings{Types: []string{"image/*"}}},
		"events":             {header: header{"Content-Type": "text/event-stream"}, body: long},
		"events, asked":      {header: header{"Content-Type": "text/event-stream"}, body: long, packed: true, vary: "Accept-Encoding", settings: compress.Settings{Types: []string{"text/event-stream"}}},
		"not accepted":       {accept: "br", header: header{"Content-Type": "text/plain"}, body: long, vary: "Accept-Encoding"},
		"refused":            {accept: "gzip;q=0, *", header: header{"Content-Type": "text/plain"}, body: long, vary: "Accept-Encoding"},
		"encoded already":    {header: header{"Content-Type": "text/plain", "Content-Encoding": "br"}, body: long},
		"digested":           {header: header{"Content-Type": "text/plain", "Content-Digest": "sha-256=:x:"}, body: long},
		"no-transform":       {header: header{"Content-Type": "text/plain", "Cache-Control": "public, No-Transform"}, body: long},
		"range":              {status: 206, header: header{"Content-Type": "text/plain", "Content-Range": "bytes 0-6999/9000"}, body: long},
		"range, odd status":  {header: header{"Content-Type": "text/plain", "Content-Range": "bytes 0-6999/9000"}, body: long},
		"no content":         {status: 204},
		"not modified":       {status: 304, header: header{"Etag": `W/"a"`}, vary: "Accept-Encoding"},
		"HEAD":               {method: "HEAD", header: header{"Content-Type": "text/plain", "Content-Length": "7000"}, vary: "Accept-Encoding", want: header{"Content-Length": "7000"}},
		"strong tag":         {header: header{"Content-Type": "text/plain", "Etag": `"a"`, "Accept-Ranges": "bytes"}, body: long, packed: true, vary: "Accept-Encoding", want: header{"Etag": `W/"a"`, "Accept-Ranges": ""}},
		"strong tag, plain":  {accept: "br", header: header{"Content-Type": "text/plain", "Etag": `"a"`, "Accept-Ranges": "bytes"}, body: long, vary: "Accept-Encoding", want: header{"Etag": `"a"`, "Accept-Ranges": "bytes"}},
		"weak tag":           {header: header{"Content-Type": "text/plain", "Etag": `W/"a"`}, body: long, packed: true, vary: "Accept-Encoding", want: header{"Etag": `W/"a"`}},
		"varies already":     {header: header{"Content-Type": "text/plain", "Vary": "Origin, accept-encoding"}, body: long, packed: true, vary: "Origin, accept-encoding"},
		"varies by Origin":   {header: header{"Content-Type": "text/plain", "Vary": "Origin"}, body: long, packed: true, vary: "Origin|Accept-Encoding"},
		"varies by all":      {header: header{"Content-Type": "text/plain", "Vary": "*"}, body: long, packed: true, vary: "*"},
		"nothing at all":     {vary: "Accept-Encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(responses(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tc.header {
					w.Header().Set(k, v)
				}
				if tc.status != 0 {
					w.WriteHeader(tc.status)
				}
				for rest := tc.body; rest != ""; { // in parts
					n := min(len(rest), 700)
					if _, err := io.WriteString(w, rest[:n]); err != nil {
						t.Error(err)
					}
					rest = rest[n:]
				}
			}, tc.settings))
			defer srv.Close()
			req, _ := http.NewRequestWithContext(t.Context(), tc.method, srv.URL, nil)
			req.Header.Set("Accept-Encoding", "gzip")
			if tc.accept != "" {
				req.Header.Set("Accept-Encoding", tc.accept)
			}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			got := string(b)
			if packed := resp.Header.Get("Content-Encoding") == "gzip"; packed != tc.packed || err != nil {
				t.Fatalf("compressed %v, want %v: %v, %v", packed, tc.packed, resp.Header, err)
			} else if packed {
				got = unzip(t, strings.NewReader(got))
			}
			if got != tc.body || tc.status != 0 && resp.StatusCode != tc.status {
				t.Errorf("got %d with %d bytes, want %d", resp.StatusCode, len(got), len(tc.body))
			}
			if vary := strings.Join(resp.Header["Vary"], "|"); vary != tc.vary {
				t.Errorf("Vary %q, want %q", vary, tc.vary)
			}
			if tc.packed && resp.ContentLength >= max(100, int64(len(tc.body))) {
				t.Errorf("%d bytes are announced", resp.ContentLength)
			}
			for k, v := range tc.want {
				if resp.Header.Get(k) != v {
					t.Errorf("%s: %q, want %q", k, resp.Header.Get(k), v)
				}
			}
		})
	}
}

// What happens beside the body passes through, over both versions of HTTP.
func TestResponsesPassThrough(t *testing.T) {
	for _, proto := range []string{"http1", "http2"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p http.Protocols
				p.SetHTTP1(proto == "http1")
				p.SetUnencryptedHTTP2(proto == "http2")
				c := serve(t, &p, responses(t, func(w http.ResponseWriter, r *http.Request) {
					ctl := http.NewResponseController(w)
					w.Header().Set("Content-Type", "text/plain")
					switch r.URL.Path {
					case "/ticks": // without MinBytes, and longer than the write timeout
						if err := ctl.SetWriteDeadline(time.Time{}); err != nil {
							t.Errorf("lift the deadline: %v", err)
						}
						w.Header().Set("Trailer", "X-Sum")
						for i := range 3 {
							fmt.Fprintf(w, "%d\n", i)
							if err := ctl.Flush(); err != nil {
								t.Errorf("flush: %v", err)
							}
							time.Sleep(time.Second)
						}
						w.Header().Set("X-Sum", "3")
					case "/hints":
						w.Header().Set("Link", "</a>")
						w.WriteHeader(103)
						_, _ = io.WriteString(w, long)
					case "/abort":
						_, _ = io.WriteString(w, long)
						_ = ctl.Flush()
						panic(http.ErrAbortHandler)
					case "/abort early":
						_, _ = io.WriteString(w, "held back")
						panic(http.ErrAbortHandler)
					}
				}, compress.Settings{}))
				resp := c.get(t, "/ticks", nil)
				z, err := gzip.NewReader(resp.Body)
				if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
					t.Fatalf("got %v %v", resp.Header, err)
				}
				lines := bufio.NewScanner(z)
				start := time.Now()
				for i := range 3 {
					if !lines.Scan() || lines.Text() != fmt.Sprint(i) || time.Since(start) != time.Duration(i)*time.Second {
						t.Errorf("got %q %v after %v, want tick %d", lines.Text(), lines.Err(), time.Since(start), i)
					}
				}
				more := lines.Scan()
				if _, err := io.Copy(io.Discard, resp.Body); more || lines.Err() != nil || err != nil || resp.Trailer.Get("X-Sum") != "3" {
					t.Errorf("ended with %v %v and %v", lines.Err(), err, resp.Trailer)
				}
				_ = resp.Body.Close()

				var hints []string
				resp = c.get(t, "/hints", &hints)
				if body := unzip(t, resp.Body); body != long || !reflect.DeepEqual(hints, []string{"103 </a>"}) {
					t.Errorf("got %v and %d bytes", hints, len(body))
				}
				_ = resp.Body.Close()

				resp = c.get(t, "/abort", nil)
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("a response that was broken off looks complete")
				}
				_ = resp.Body.Close()
				if resp, err := c.Get("http://a:1/abort%20early"); err == nil {
					t.Errorf("got %v, want the connection broken off", resp)
				}
			})
		})
	}
}

type client struct{ *http.Client }

// get asks for gzip; hints gets what comes before the response.
func (c client) get(t *testing.T, path string, hints *[]string) *http.Response {
	t.Helper()
	ctx := t.Context()
	if hints != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			*hints = append(*hints, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		}})
	}
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://a:1"+path, nil)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// serve serves h in memory with a write timeout of 1.5 s.
func serve(t *testing.T, p *http.Protocols, h http.Handler) client {
	t.Helper()
	var n memnet.Network
	l, err := n.Listen("a:1")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: p, WriteTimeout: 1500 * time.Millisecond}
	go func() { _ = srv.Serve(l) }()
	tr := &http.Transport{DialContext: n.Dial, Protocols: p}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
	})
	return client{&http.Client{Transport: tr}}
}

// A handler can take the connection over.
func TestResponsesHijack(t *testing.T) {
	srv := httptest.NewServer(responses(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nmine")
		_ = conn.Close()
	}, compress.Settings{}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
	b, err := io.ReadAll(conn)
	if err != nil || string(b) != "HTTP/1.1 101 Switching Protocols\r\n\r\nmine" {
		t.Errorf("got %q %v", b, err)
	}
}

func TestResponsesOfFiles(t *testing.T) {
	srv := httptest.NewServer(responses(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), strings.NewReader(long))
	}, compress.Settings{}))
	defer srv.Close()
	for name, tc := range map[string]struct {
		header map[string]string
		status int
		packed bool
	}{
		"whole":        {map[string]string{"Accept-Encoding": "gzip"}, 200, true},
		"part":         {map[string]string{"Accept-Encoding": "gzip", "Range": "bytes=0-5"}, 206, false},
		"not modified": {map[string]string{"Accept-Encoding": "gzip", "If-Modified-Since": time.Unix(1e9, 0).UTC().Format(http.TimeFormat)}, 304, false},
		"plain":        {map[string]string{"Accept-Encoding": "identity"}, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
			for k, v := range tc.header {
				req.Header.Set(k, v)
			}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if packed := resp.Header.Get("Content-Encoding") == "gzip"; resp.StatusCode != tc.status || packed != tc.packed {
				t.Errorf("got %d, compressed %v, want %d, %v", resp.StatusCode, packed, tc.status, tc.packed)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for in, ok := range map[string]bool{
		`{}`: true, `{"min_bytes":1,"level":9,"types":["application/json","text/*","*+json"]}`: true, `{"types":[]}`: true,
		`{"min_bytes":-1}`: false, `{"level":10}`: false, `{"level":-1}`: false,
		`{"types":["json"]}`: false, `{"types":["*/*"]}`: false, `{"types":["*+"]}`: false, `{"types":["Text/HTML"]}`: false,
		`{"types":["text/html; charset=utf-8"]}`: false, `{"types":["text/"]}`: false, `{"types":[""]}`: false, `{"types":["te*/x"]}`: false, `{"types":["*+x/y"]}`: false,
	} {
		var s compress.Settings
		if err := json.Unmarshal([]byte(in), &s); err != nil {
			t.Fatal(err)
		}
		if _, err := compress.Responses(http.NotFoundHandler(), s); (err == nil) != ok {
			t.Errorf("%s: got %v", in, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"min":1}`), new(compress.Settings)); err == nil {
		t.Error("a misspelt name is accepted")
	}
}

// A compressor, which has much memory, is used again.
func TestCompressorsAreUsedAgain(t *testing.T) {
	c := responses(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, long)
	}, compress.Settings{})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 100
	for range n {
		c.ServeHTTP(httptest.NewRecorder(), r)
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / n; got > 400<<10 { // a new one has 800 KiB; the race detector drops some
		t.Errorf("%d KiB are allocated for a compressed response", got>>10)
	}
}
