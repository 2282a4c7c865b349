package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// A server without a place says so before it asks for a body, whatever the
// body's size; one with a place asks for it, and so does a busy one for requests
// that are exempt.
func TestBusyServerAsksForNoBody(t *testing.T) {
	leaktest.Check(t)
	inside, end := make(chan struct{}), make(chan struct{})
	srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			inside <- struct{}{}
			<-end
			return
		}
		_, _ = io.Copy(w, r.Body)
	}), transport.WithExempt(func(r *http.Request) bool { return r.URL.Path == "/exempt" }),
		transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Min: 1, Max: 1, Queue: -1}}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	open := func(path string, header string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", path, header)
		return conn, bufio.NewReader(conn)
	}
	ask := func(name, path, length, want string, size int) {
		t.Helper()
		conn, r := open(path, "Expect: 100-continue\r\n"+length)
		defer func() { _ = conn.Close() }()
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%s: answered %q, %v; want %s", name, line, err, want)
			return
		}
		if size == 0 {
			rest, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(line), r)), nil)
			if err != nil || rest.Header.Get(transport.HeaderShed) == "" || !rest.Close {
				t.Errorf("%s: %v, %v; want one marked as shed whose connection ends", name, rest, err)
				return
			}
			_ = rest.Body.Close()
			return
		}
		_, _ = r.ReadString('\n') // the end of the 100
		fmt.Fprint(conn, strings.Repeat("x", size))
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || len(got) != size {
			t.Errorf("%s: %d with %d bytes, %v; want the %d bytes sent", name, resp.StatusCode, len(got), err, size)
		}
	}
	ask("idle", "/", "Content-Length: 10", "HTTP/1.1 100", 10)
	holder, held := open("/hold", "Content-Length: 0")
	defer func() { _ = holder.Close() }()
	<-inside
	for name, length := range map[string]string{"small": "Content-Length: 10", "large": "Content-Length: 100000", "chunked": "Transfer-Encoding: chunked"} {
		ask("busy, "+name, "/", length, "HTTP/1.1 503", 0)
	}
	ask("busy, exempt", "/exempt", "Content-Length: 10", "HTTP/1.1 100", 10)
	close(end)
	if resp, err := http.ReadResponse(held, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the request that held the place: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	ask("idle again", "/", "Content-Length: 10", "HTTP/1.1 100", 10)
}
