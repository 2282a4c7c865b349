package transport_test

import (
	"encoding/json"
	"fmt"

	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
)

// A policy as it may stand in a file: reads of single products are hedged and
// shared, a search by POST may be repeated, and reports are the first to go.
func ExampleRoute() {
	var p transport.Policy
	err := json.Unmarshal([]byte(`{
		"timeout": "800ms",
		"fallback": {"last_good": "10m"},
		"routes": {
			"GET /v1/products/{id}": {"hedge": {"on": true}, "coalesce": true},
			"POST /v1/search":       {"idempotent": true, "limit": {"max_inflight": 20}},
			"GET /v1/reports/":      {"timeout": "4s", "criticality": "sheddable"}
		}
	}`), &p)
	if err != nil {
		fmt.Println(err)
		return
	}
	registry, _ := static.New(nil)
	defer registry.Close()
	client, err := transport.NewClient(registry, transport.WithServicePolicy("catalog", p))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// It changes while calls are under way, as a whole or not at all.
	p.Routes = map[string]transport.Route{"GET catalog/v1/": {}}
	fmt.Println(client.SetPolicy("catalog", p))
	fmt.Println(len(client.PolicyFor("catalog").Routes), "routes in force")
	// Output:
	// transport: policy of "catalog": transport: policy: route "GET catalog/v1/": want a method and a path such as "GET /v1/items/{id}", without a host
	// 3 routes in force
}
