package cache_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/cache"
)

// A client's routes are cached and coalesced, over real connections; its writes
// make what is cached void.
func TestClientWithCache(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if r.Method == http.MethodGet {
			w.Header().Set("Cache-Control", "max-age=60")
		}
		fmt.Fprint(w, n)
	}))
	defer srv.Close()
	registry, err := static.New(map[string][]discovery.Instance{
		"pricing": {{ID: "p1", Service: "pricing", Addr: srv.Listener.Addr().String()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	responses, err := cache.New(cache.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := transport.NewClient(registry, transport.WithCache(responses.Layer), transport.WithServicePolicy("pricing", transport.Policy{
		Timeout: time.Minute, AttemptTimeout: time.Minute, // an answer that is late must not be asked for again
		Routes: map[string]transport.Route{"GET /v1/": {Cache: true, Coalesce: true}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if a := call(t, client, "GET /v1/quote", "Authorization", "a"); a.body != "1" {
		t.Errorf("got %q", a.body)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a := call(t, client, "GET /v1/quote", "Authorization", "a"); a.body != "1" {
				t.Errorf("got %q", a.body)
			}
		})
	}
	wg.Wait()
	if a := call(t, client, "GET /v1/quote", "Authorization", "b"); a.body != "2" {
		t.Errorf("another user got %q", a.body)
	}
	call(t, client, "PUT /v1/quote")
	if a := call(t, client, "GET /v1/quote", "Authorization", "a"); a.body != "4" {
		t.Errorf("after a write: %q", a.body)
	}
	if s := responses.Stats(); s.Hits != 20 || s.Forwarded != 4 {
		t.Errorf("stats %+v", s)
	}
}
