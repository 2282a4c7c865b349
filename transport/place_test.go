package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// An exempt request has no place, so a slow body has none to come back to.
func TestExemptRequestWithASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(w, r.Body); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, transport.WithExempt(func(*http.Request) bool { return true }))
		conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		time.Sleep(time.Second)
		fmt.Fprint(conn, "1\r\nx\r\n0\r\n\r\n")
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 200" {
			t.Errorf("%q, %v; want 200", status, err)
		}
	})
}

// A handler may leave behind a goroutine that reads the body on, as a proxy does
// whose backend answers early. It must not take the place again that the request
// has given back: nobody would ever release it.
func TestBodyReadOnAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reader sync.WaitGroup
		in, out := io.Pipe()
		srv, err := transport.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			reader.Go(func() { _, _ = io.Copy(io.Discard, r.Body) })
			time.Sleep(time.Second)
		}), transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 1, Min: 1, Max: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = srv.Close() }()
		srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", in))
		_ = out.Close() // the body's end
		reader.Wait()
		if n, _ := srv.Limit(); n != 0 {
			t.Errorf("%d places are taken when all requests are done, want 0", n)
		}
	})
}

// The same where the body's end comes first and no place is free: the request
// waits for one when its handler returns.
func TestBodyWaitingForAPlaceAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reader sync.WaitGroup
		hold := make(chan struct{})
		in, out := io.Pipe()
		srv, err := transport.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				<-hold
				return
			}
			reader.Go(func() { _, _ = io.Copy(io.Discard, r.Body) })
			time.Sleep(time.Second)
		}), transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 1, Min: 1, Max: 1, Queue: 1, QueueWait: time.Minute}}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = srv.Close() }()
		var requests sync.WaitGroup
		requests.Go(func() {
			srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", in))
		})
		time.Sleep(500 * time.Millisecond)
		requests.Go(func() {
			srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
		time.Sleep(100 * time.Millisecond)
		_ = out.Close()
		time.Sleep(time.Second) // the first handler has returned
		close(hold)
		requests.Wait()
		reader.Wait()
		if n, _ := srv.Limit(); n != 0 {
			t.Errorf("%d places are taken when all requests are done, want 0", n)
		}
	})
}
