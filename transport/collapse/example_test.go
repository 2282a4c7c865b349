package collapse_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gabion-go/gabion/transport/collapse"
)

type product struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Many goroutines each want one product, GET /v1/products/{id}; the catalogue
// gets a single GET /v1/products?ids=a,b,c.
func Example() {
	catalogue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := strings.Split(r.URL.Query().Get("ids"), ",")
		fmt.Println(r.Method, r.URL.Path, "of", len(ids))
		var found []product
		for _, id := range ids {
			if id != "gone" {
				found = append(found, product{ID: id, Name: "product " + id})
			}
		}
		_ = json.NewEncoder(w).Encode(found)
	}))
	defer catalogue.Close()

	fetch := func(ctx context.Context, ids []string) (map[string]collapse.Result[product], error) {
		target := catalogue.URL + "/v1/products?ids=" + url.QueryEscape(strings.Join(ids, ","))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, err
		}
		resp, err := catalogue.Client().Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("catalogue answered %s", resp.Status)
		}
		var found []product
		if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
			return nil, err
		}
		results := make(map[string]collapse.Result[product], len(found))
		for _, p := range found {
			results[p.ID] = collapse.Result[product]{Value: p}
		}
		return results, nil
	}
	products, err := collapse.New(fetch, collapse.Settings{Window: 200 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer products.Close()

	ids := []string{"a", "b", "b", "gone"}
	names, errs := make([]string, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			p, err := products.Do(context.Background(), id)
			names[i], errs[i] = p.Name, err
		})
	}
	wg.Wait()
	for i := range ids {
		fmt.Printf("%q %v\n", names[i], errs[i])
	}
	// Output:
	// GET /v1/products of 3
	// "product a" <nil>
	// "product b" <nil>
	// "product b" <nil>
	// "" collapse: no result for key gone
}
