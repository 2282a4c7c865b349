package transport_test

import (
	"net/http"
	"testing"
)

// A call through gabion makes a bounded number of allocations more than one
// through bare net/http, client and server together. The bounds leave room for
// the race detector, under which pools forget.
func TestCallAllocations(t *testing.T) {
	allocations := func(kind callKind, method string) float64 {
		client, url := kind.start(t)
		call := func() {
			if err := callOnce(t.Context(), client, method, url); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 { // connections, tables and pools
			call()
		}
		return testing.AllocsPerRun(200, call)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		bare := allocations(bareCalls, method)
		for _, c := range []struct {
			kind callKind
			most float64
		}{{gabionCalls, 30}, {tracedCalls, 70}} {
			if more := allocations(c.kind, method) - bare; more > c.most {
				t.Errorf("%s, %s: %v allocations more than net/http, want %v at most", c.kind.name, method, more, c.most)
			} else {
				t.Logf("%s, %s: %v allocations more than net/http", c.kind.name, method, more)
			}
		}
	}
}
