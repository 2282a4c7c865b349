package transport

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
)

// What a refused call has used is used again by another: nothing may be left in
// it, be it a body or a key of the caller's.
func TestRefusedCallsAreForgotten(t *testing.T) {
	backend, err := static.New(map[string][]discovery.Instance{"pricing": {{ID: "p1", Service: "pricing", Addr: "127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(backend, WithHashKey("pricing", func(*http.Request) string { return "secret" }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Close()
		_ = backend.Close()
	}()
	svc, err := c.service(&url.URL{Scheme: "http", Host: "pricing"})
	if err != nil {
		t.Fatal(err)
	}
	svc.breaker.Force(breaker.ModeOpen)
	for range 100 { // pools forget now and then, under the race detector often
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://pricing/", strings.NewReader("secret"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.RoundTrip(req); err == nil {
			t.Fatal("not refused")
		}
		if k, ok := c.refused.Get().(*call); ok {
			if !reflect.ValueOf(k).Elem().IsZero() {
				t.Errorf("left behind: %+v", k)
			}
			return
		}
	}
	t.Error("no refused call is kept")
}
