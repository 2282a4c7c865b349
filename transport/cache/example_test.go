package cache_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/cache"
)

// In front of any RoundTripper.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "42")
	}))
	defer srv.Close()

	responses, err := cache.New(cache.Settings{MaxBytes: 16 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	cached := responses.Transport(srv.Client().Transport)
	defer cached.Close()
	client := &http.Client{Transport: cached}
	for range 2 {
		resp, err := client.Get(srv.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s from the cache: %v\n", body, strings.HasPrefix(resp.Header.Get("Cache-Status"), "gabion; hit"))
	}
	fmt.Println("hits:", responses.Stats().Hits)
	// Output:
	// 42 from the cache: false
	// 42 from the cache: true
	// hits: 1
}

// For some routes of a service.
func ExampleCache_Layer() {
	registry, _ := static.New(map[string][]discovery.Instance{})
	defer registry.Close()
	responses, err := cache.New(cache.Settings{Vary: []string{"X-Tenant"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := transport.NewClient(registry,
		transport.WithCache(responses.Layer),
		transport.WithServicePolicy("catalogue", transport.Policy{Routes: map[string]transport.Route{
			"GET /v1/products/{id}": {Cache: true, Coalesce: true},
		}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Close())
	// Output: <nil>
}
