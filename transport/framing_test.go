package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

// serveTCP serves h on a socket and returns its address.
func serveTCP(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv, err := transport.NewServer(h)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

// talk sends raw bytes and no more, and returns all that is answered before the
// server closes the connection.
func talk(t *testing.T, addr, raw string) []*http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = io.WriteString(conn, raw)
		if !strings.HasPrefix(raw, "GET ") { // a client that ends its side after a whole request has left
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	var all []*http.Response
	rd := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			return all
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		all = append(all, resp)
		_ = conn.(*net.TCPConn).CloseWrite()
	}
}

// However a body is broken, and whoever reads it, the answer is a problem with
// status 400 on a connection that is closed, and never a whole body.
func TestBrokenBodies(t *testing.T) {
	readers := map[string]http.HandlerFunc{
		"/json": func(w http.ResponseWriter, r *http.Request) {
			var v any
			if transport.DecodeJSON(w, r, &v) == nil {
				t.Errorf("accepted %v", v)
			}
		},
		"/form": func(w http.ResponseWriter, r *http.Request) {
			v := struct {
				A string `form:"a"`
			}{}
			if transport.DecodeForm(w, r, &v) == nil {
				t.Errorf("accepted %v", v)
			}
		},
		"/raw": func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err == nil {
				t.Errorf("read %q to its end", b)
			}
			w.WriteHeader(400)
		},
	}
	addr := serveTCP(t, func(w http.ResponseWriter, r *http.Request) { readers[r.URL.Path](w, r) })
	for name, framed := range map[string]string{
		"shorter than its length":    "Content-Length: 9\r\n\r\n%s",
		"much shorter":               "Content-Length: 100000\r\n\r\n%s",
		"chunks without an end":      "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\r\n",
		"chunk without an end":       "Transfer-Encoding: chunked\r\n\r\n9\r\n%s",
		"chunk of no size":           "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\r\nzz\r\n\r\n",
		"chunk of another size":      "Transfer-Encoding: chunked\r\n\r\n3\r\n%sx\r\n0\r\n\r\n",
		"chunk of negative size":     "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\r\n-1\r\n\r\n",
		"chunk size with a bare LF":  "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\r\n0\n\r\n",
		"chunk that ends by bare LF": "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\n0\r\n\r\n",
		"size of more than 64 bits":  "Transfer-Encoding: chunked\r\n\r\n3\r\n%s\r\n11111111111111111\r\n",
		"extension without end":      "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 20<<10) + "\r\n%s\r\n0\r\n\r\n",
	} {
		for path, body := range map[string]string{"/json": "123", "/form": "a=1", "/raw": "abc"} {
			t.Run(name+path, func(t *testing.T) {
				second := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
				if strings.Contains(name, "shorter") || strings.Contains(name, "without an end") {
					second = "" // it would belong to the body
				}
				all := talk(t, addr, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Type: "+map[string]string{
					"/json": "application/json", "/form": "application/x-www-form-urlencoded", "/raw": "text/plain",
				}[path]+"\r\n"+fmt.Sprintf(framed, body)+second)
				if len(all) != 1 || all[0].StatusCode != 400 || second != "" && !all[0].Close {
					t.Fatalf("answered %v, want 400 and the connection closed", all)
				}
				if path != "/raw" && all[0].Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("answered %v", all[0].Header)
				}
			})
		}
	}
}

// What a handler can be made to keep of one header is bounded, by the server
// and by net/http itself.
func TestCountsAreBounded(t *testing.T) {
	addr := serveTCP(t, func(w http.ResponseWriter, r *http.Request) {
		v := struct {
			A []string `form:"a"`
		}{}
		switch r.URL.Path {
		case "/cookies":
			fmt.Fprint(w, len(r.Cookies()))
		case "/query":
			_ = transport.DecodeQuery(w, r, &v)
		case "/parse":
			if err := r.ParseForm(); err != nil {
				w.WriteHeader(400)
			}
		}
	})
	get := func(target, lines string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"
	}
	for name, tc := range map[string]struct {
		raw    string
		status int
		length int64 // of the answer; -1 for any
	}{
		"some cookies":            {get("/cookies", "Cookie: "+strings.Repeat("a=b; ", 100)+"\r\n"), 200, 3},
		"too many cookies":        {get("/cookies", "Cookie: "+strings.Repeat("a=b; ", 4000)+"\r\n"), 200, 1}, // none at all
		"many parameters":         {get("/query?"+strings.Repeat("a=1&", 999), ""), 200, 0},
		"too many parameters":     {get("/query?"+strings.Repeat("a=1&", 10_001), ""), 400, -1},
		"too many for net/http":   {get("/parse?"+strings.Repeat("a=1&", 10_001), ""), 400, 0},
		"semicolon":               {get("/query?a=1;b=2", ""), 400, -1},
		"semicolon, net/http":     {get("/parse?a=1;b=2", ""), 400, 0},
		"bad escape":              {get("/query?a=%zz", ""), 400, -1},
		"header of 60 KiB":        {get("/", "X: "+strings.Repeat("x", 60<<10)+"\r\n"), 200, 0},
		"header of 65 KiB":        {get("/", "X: "+strings.Repeat("x", 65<<10)+"\r\n"), 431, -1},
		"target of 65 KiB":        {get("/"+strings.Repeat("x", 65<<10), ""), 431, -1},
		"names of 65 KiB":         {get("/", strings.Repeat("X: y\r\n", 65<<10/6)), 431, -1},
		"trailer of 1 MiB":        {"POST /parse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 200, -1},
		"target in absolute form": {get("http://b/cookies", ""), 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			all := talk(t, addr, tc.raw)
			if len(all) != 1 || all[0].StatusCode != tc.status || tc.length >= 0 && all[0].ContentLength != tc.length {
				for _, resp := range all {
					t.Logf("answered %s with %d bytes", resp.Status, resp.ContentLength)
				}
				t.Errorf("%d answers, want one: %d of %d bytes", len(all), tc.status, tc.length)
			}
		})
	}
}

// A server's own errors of reading are those of net/http.
func TestBodyErrorsAreTyped(t *testing.T) {
	got := make(chan error, 1)
	addr := serveTCP(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	})
	_ = talk(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
	if err := <-got; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want an unexpected EOF", err)
	}
	big := fmt.Sprintf("%x\r\n%s\r\n", 5<<20, strings.Repeat("x", 5<<20))
	_ = talk(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+big+"0\r\n\r\n")
	if _, ok := errors.AsType[*http.MaxBytesError](<-got); !ok {
		t.Error("a body that is too large is no MaxBytesError")
	}
}
