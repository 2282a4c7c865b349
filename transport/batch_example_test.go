package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/collapse"
)

// Whoever wants one product asks for it, GET /v1/products/{id}; the catalogue is
// asked for all that are wanted at the moment, GET /v1/products?ids=a,b.
func ExampleWithBatch() {
	catalogue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		products := map[string]string{}
		for id := range strings.SplitSeq(r.URL.Query().Get("ids"), ",") {
			products[id] = "product " + id
		}
		fmt.Println("asked for", len(products))
		_ = json.NewEncoder(w).Encode(products)
	}))
	defer catalogue.Close()
	registry, _ := static.New(map[string][]discovery.Instance{
		"catalogue": {{ID: "1", Service: "catalogue", Addr: catalogue.Listener.Addr().String()}},
	})
	defer registry.Close()

	fetch := func(ctx context.Context, client http.RoundTripper, lookups []*http.Request) ([]transport.Answer, error) {
		ids := make([]string, len(lookups))
		for i, r := range lookups {
			ids[i] = r.PathValue("id")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://catalogue/v1/products?ids="+url.QueryEscape(strings.Join(ids, ",")), nil)
		if err != nil {
			return nil, err
		}
		req.Header = lookups[0].Header.Clone() // whose it is
		resp, err := client.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		var products map[string]string
		if err := json.NewDecoder(resp.Body).Decode(&products); err != nil {
			return nil, err
		}
		answers := make([]transport.Answer, len(ids))
		for i, id := range ids {
			answers[i].Body = []byte(products[id])
		}
		return answers, nil
	}
	client, err := transport.NewClient(registry,
		transport.WithBatch("catalogue", "GET /v1/products/{id}", fetch),
		transport.WithServicePolicy("catalogue", transport.Policy{Routes: map[string]transport.Route{
			"GET /v1/products/{id}": {Collapse: &collapse.Settings{Window: time.Minute, Max: 2}}, // two do not wait for the end of it
		}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	var wg sync.WaitGroup
	got := make([]string, 2)
	for i, id := range []string{"a", "b"} {
		wg.Go(func() {
			resp, err := client.HTTPClient().Get("http://catalogue/v1/products/" + id)
			if err != nil {
				got[i] = err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			got[i] = string(body)
		})
	}
	wg.Wait()
	fmt.Println(got)
	// Output:
	// asked for 2
	// [product a product b]
}
