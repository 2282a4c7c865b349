package cache_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gabion-go/gabion/transport/cache"
)

// What a cache has done shows on the registry that it was given to, beside
// another one.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	quotes, err := cache.New(cache.Settings{Name: "quotes"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := cache.New(cache.Settings{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(quotes, other)
	rt := quotes.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		h := http.Header{"Cache-Control": {"max-age=60"}, "Etag": {`"1"`}}
		switch {
		case req.URL.Path == "/old":
			h.Set("Cache-Control", "max-age=0, stale-if-error=60")
			if req.Header.Get("If-None-Match") != "" {
				return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
			}
		case req.Header.Get("If-None-Match") != "":
			return &http.Response{StatusCode: 304, Header: h, Body: http.NoBody, Request: req}, nil
		}
		return &http.Response{StatusCode: 200, Header: h, Body: http.NoBody, Request: req}, nil
	}))
	defer rt.Close()
	for range 3 {
		call(t, rt, "GET /v1/quote")
	}
	call(t, rt, "GET /v1/quote", "Cache-Control", "no-cache") // is asked and confirmed
	for range 2 {
		call(t, rt, "GET /old")
	}
	const want = `
# HELP gabion_cache_requests_total Requests that were answered from the store (hit), or with what was no longer fresh (stale), or were passed on.
# TYPE gabion_cache_requests_total counter
gabion_cache_requests_total{cache="other",result="forwarded"} 0
gabion_cache_requests_total{cache="other",result="hit"} 0
gabion_cache_requests_total{cache="other",result="stale"} 0
gabion_cache_requests_total{cache="quotes",result="forwarded"} 2
gabion_cache_requests_total{cache="quotes",result="hit"} 2
gabion_cache_requests_total{cache="quotes",result="stale"} 1
# HELP gabion_cache_validations_total Stored responses that a server has confirmed.
# TYPE gabion_cache_validations_total counter
gabion_cache_validations_total{cache="other"} 0
gabion_cache_validations_total{cache="quotes"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gabion_cache_requests_total", "gabion_cache_validations_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(quotes, "gabion_cache_bytes"); n != 1 {
		t.Errorf("gabion_cache_bytes is there %d times", n)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
