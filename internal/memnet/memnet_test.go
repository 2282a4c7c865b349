package memnet_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/internal/memnet"
)

func TestHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l, err := n.Listen("a:80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}
		go func() { _ = srv.Serve(l) }()
		tr := &http.Transport{DialContext: n.Dial}
		c := &http.Client{Transport: tr}
		for range 3 {
			resp, err := c.Post("http://a/", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(b) != "hello" {
				t.Fatalf("got %q, %v", b, err)
			}
		}
		if got := n.Dials("a:80"); got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
		tr.CloseIdleConnections()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if _, err := n.Dial(context.Background(), "tcp", "a:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after close: %v, want a refused connection", err)
		}
	})
}
