package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// upgrade is a handler that takes over its connection and echoes lines until
// the server drains or, being deaf, for ever.
func upgrade(deaf bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			w.WriteHeader(500)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		if !deaf {
			go func() {
				select {
				case <-transport.Draining(r.Context()):
					time.Sleep(time.Second) // it takes a while to say goodbye
					_, _ = io.WriteString(conn, "bye\n")
					_ = conn.Close()
				case <-r.Context().Done():
				}
			}()
		}
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, line)
		}
	}
}

// A protocol switch passes through client, server and Stream, lasts longer
// than any time limit of calls, and gets its time at a shutdown.
func TestUpgradesAndShutdown(t *testing.T) {
	for name, tc := range map[string]struct {
		deaf bool
		bye  string
	}{"polite": {false, "bye\n"}, "deaf": {true, ""}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("chat", "a:1", transport.Stream(upgrade(tc.deaf), 0).ServeHTTP)
				c := f.client()
				req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://chat/", nil)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "lines")
				resp, err := c.HTTPClient().Do(req)
				if err != nil || resp.StatusCode != 101 {
					t.Fatalf("got %v %v, want 101", resp, err)
				}
				conn := resp.Body.(io.ReadWriteCloser)
				lines := bufio.NewReader(conn)
				for range 3 {
					time.Sleep(time.Minute)
					_, _ = io.WriteString(conn, "hello\n")
					if s, err := lines.ReadString('\n'); s != "hello\n" {
						t.Fatalf("got %q %v", s, err)
					}
				}
				srv := f.servers["a:1"]
				done := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					done <- srv.Shutdown(ctx)
				}()
				rest, _ := io.ReadAll(lines)
				if string(rest) != tc.bye {
					t.Errorf("the connection ended with %q, want %q", rest, tc.bye)
				}
				if err := <-done; (err != nil) != tc.deaf {
					t.Errorf("shutdown: %v", err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if n := srv.InFlight(); n != 0 {
					t.Errorf("%d requests outlive the server", n)
				}
				_ = conn.Close()
				idle(t, c)
			})
		})
	}
}

// A stream that writes rarely, with or without flushing, is not cut off by the
// limit of its last write; a reader that is stuck is.
func TestStreamWriteLimit(t *testing.T) {
	for _, proto := range []string{"http1", "http2"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p http.Protocols
				p.SetHTTP1(proto == "http1")
				p.SetUnencryptedHTTP2(proto == "http2")
				f := newFleet(t)
				stuck := make(chan time.Duration, 1)
				f.listen("a:1", transport.Stream(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/stuck" {
						start := time.Now()
						for {
							if _, err := w.Write(make([]byte, 32<<10)); err != nil {
								break
							}
						}
						stuck <- time.Since(start)
						return
					}
					for range 3 {
						_, _ = io.WriteString(w, "tick\n")
						time.Sleep(time.Minute)
					}
					_, _ = io.WriteString(w, "end\n")
				}), 5*time.Second).ServeHTTP, transport.WithServerProtocols(&p))
				tr := &http.Transport{DialContext: f.net.Dial, Protocols: &p}
				defer tr.CloseIdleConnections()
				resp, err := (&http.Client{Transport: tr}).Get("http://a:1/")
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(b) != "tick\ntick\ntick\nend\n" {
					t.Errorf("got %q %v", b, err)
				}
				resp, err = (&http.Client{Transport: tr}).Get("http://a:1/stuck")
				if err != nil {
					t.Fatal(err)
				}
				if d := <-stuck; d < 5*time.Second || d > 20*time.Second {
					t.Errorf("a stuck reader was dropped after %v, want about 5 s", d)
				}
				_ = resp.Body.Close()
			})
		})
	}
}

// What clients may get wrong or try in the framing of a request, byte by byte,
// and what becomes of it. The last column counts the requests that a handler
// saw to their end.
func TestFraming(t *testing.T) {
	post := func(lines, body string) string { return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n" + body }
	for name, tc := range map[string]struct {
		raw      string
		statuses string
		whole    int
	}{
		"plain":                      {post("Content-Length: 2\r\n", "ok"), "200", 1},
		"chunked":                    {post("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"), "200", 1},
		"two lengths":                {post("Content-Length: 2\r\nContent-Length: 3\r\n", "oki"), "400", 0},
		"same length twice":          {post("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"), "200", 1},
		"length of +2":               {post("Content-Length: +2\r\n", "ok"), "400", 0},
		"negative length":            {post("Content-Length: -2\r\n", "ok"), "400", 0},
		"unknown coding":             {post("Transfer-Encoding: gzip\r\n", "ok"), "501", 0},
		"coding twice":               {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "501", 0},
		"length and coding":          {post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "200", 1}, // the coding counts (RFC 9112, 6.3)
		"smuggled by both":           {post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + post("Content-Length: 2\r\n", "ok"), "200", 1},
		"smuggled after chunks":      {post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n") + post("Content-Length: 2\r\n", "ok"), "200", 1},
		"coding on folded lines":     {post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n") + post("Content-Length: 2\r\n", "ok"), "200", 1},
		"coding in HTTP/1.0":         {strings.Replace(post("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"), "1.1", "1.0", 1), "200", 1},
		"after a bad chunk":          {post("Transfer-Encoding: chunked\r\n", "zz\r\n") + post("Content-Length: 2\r\n", "ok"), "400", 0},
		"after an unread body":       {post("X-Deaf: 1\r\nTransfer-Encoding: chunked\r\n", "zz\r\n") + post("Content-Length: 2\r\n", "ok"), "200", 0},
		"chunk extension":            {post("Transfer-Encoding: chunked\r\n", "2;a=b\r\nok\r\n0\r\n\r\n"), "200", 1},
		"trailer with a length":      {post("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n"), "200", 1},
		"20,000 header lines":        {post(strings.Repeat("X: y\r\n", 20_000), ""), "431", 0},
		"chunk header with bare LF":  {post("Transfer-Encoding: chunked\r\n", "2\nok\r\n0\r\n\r\n"), "400", 0},
		"chunk with wrong size":      {post("Transfer-Encoding: chunked\r\n", "1\r\nok\r\n0\r\n\r\n"), "400", 0},
		"chunk size is no number":    {post("Transfer-Encoding: chunked\r\n", "zz\r\nok\r\n0\r\n\r\n"), "400", 0},
		"space before colon":         {post("Content-Length : 2\r\n", "ok"), "400", 0},
		"no host":                    {"GET / HTTP/1.1\r\n\r\n", "400", 0},
		"two hosts":                  {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", 0},
		"bare CR in a value":         {post("X: a\rb\r\n", ""), "400", 0},
		"NUL in a value":             {post("X: a\x00b\r\n", ""), "400", 0},
		"lines end in bare LF":       {"GET / HTTP/1.1\nHost: a\n\n", "200", 1},
		"two requests in one packet": {post("Content-Length: 2\r\n", "ok") + post("Content-Length: 2\r\n", "ok"), "200 200", 2},
		"header of 70 KiB":           {post("X: "+strings.Repeat("x", 70<<10)+"\r\n", ""), "431", 0},
		"many header lines":          {post(strings.Repeat("X: y\r\n", 12<<10), ""), "431", 0},
		"body ends early":            {post("Content-Length: 5\r\n", "ok"), "400", 0},
		"chunks end early":           {post("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n"), "400", 0},
		"HTTP/0.9":                   {"GET /\r\n\r\n", "400", 0},
		"HTTP/3.0":                   {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505", 0},
	} {
		t.Run(name, func(t *testing.T) {
			whole := make(chan struct{}, 10)
			srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header["X-Deaf"] != nil {
					return
				}
				if _, err := io.ReadAll(r.Body); err != nil {
					http.Error(w, "bad body", 400)
					return
				}
				whole <- struct{}{}
			}))
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = srv.Serve(l) }()
			defer func() { _ = srv.Close() }()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			go func() {
				_, _ = io.WriteString(conn, tc.raw)
				if strings.Contains(name, "early") {
					_ = conn.(*net.TCPConn).CloseWrite()
				}
			}()
			var statuses []string
			rd := bufio.NewReader(conn)
			for {
				if len(statuses) == len(strings.Fields(tc.statuses)) { // any more than expected?
					_ = conn.(*net.TCPConn).CloseWrite()
				}
				resp, err := http.ReadResponse(rd, nil)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				statuses = append(statuses, fmt.Sprint(resp.StatusCode))
			}
			if got := strings.Join(statuses, " "); got != tc.statuses || len(whole) != tc.whole {
				t.Errorf("answered %q after %d whole requests, want %q and %d", got, len(whole), tc.statuses, tc.whole)
			}
		})
	}
}

// A connection that was upgraded is a call no more, nor what comes over it a
// body: neither the call's time nor a body's size bounds it, and what becomes of
// it says nothing of either.
func TestUpgradesHaveNoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("chat", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
			_, _ = rw.ReadString('\n')
			_, _ = io.WriteString(conn, "more than a body may have\n")
		})
		reset := errors.New("connection reset")
		c := f.client(transport.WithPolicy(transport.Policy{ResponseBytes: 5}),
			transport.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := f.net.Dial(ctx, network, addr)
				return resetting{conn, reset}, err
			}))
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://chat/", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "lines")
		resp, err := c.HTTPClient().Do(req)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("got %v %v, want 101", resp, err)
		}
		conn := resp.Body.(io.ReadWriteCloser)
		time.Sleep(time.Minute)
		_, _ = io.WriteString(conn, "hello\n")
		got, err := io.ReadAll(conn)
		if string(got) != "more than a body may have\n" || !errors.Is(err, reset) {
			t.Errorf("got %q %v, want all of it and a reset", got, err)
		}
		_ = conn.Close()
		idle(t, c)
	})
}

// resetting is a connection whose end is an error.
type resetting struct {
	net.Conn
	err error
}

func (c resetting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = c.err
	}
	return n, err
}
