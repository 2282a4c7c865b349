package cart

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

func TestAPI(t *testing.T) {
	f := newFleet(t, 1, false)
	a := f.nodes[0]
	id := a.create()
	empty, full := a.create(), a.create()
	for i := range MaxLines {
		at := Stamp{Micros: int64(i + 1)}
		_, err := a.store.Update(full, func(c Cart, _ bool) (Cart, error) { return c.Set("", fmt.Sprint("p", i), 1, at) })
		if err != nil {
			t.Fatal(err)
		}
	}
	items := "/carts/" + id + "/items/"
	for _, tc := range []struct {
		method, path, body string
		header             []string
		status             int
		want               string // in the answer
	}{
		{"GET", "/carts/" + id, "", nil, 200, `"items":[]`},
		{"GET", "/carts/none", "", nil, 404, "unknown-cart"},
		{"GET", "/carts/" + strings.Repeat("x", 40000), "", nil, 404, "unknown-cart"},
		{"PUT", "/carts/none/items/mug", `{"quantity":1}`, nil, 404, "unknown-cart"},
		{"POST", "/carts/none/checkout", "", []string{"Idempotency-Key", "k"}, 404, "unknown-cart"},
		{"PUT", items + "mug", `{"quantity":2}`, nil, 200, `"items":[{"product":"mug","quantity":2}]`},
		{"PUT", items + "mug", `{"quantity":2}`, nil, 200, `"items":[{"product":"mug","quantity":2}]`},
		{"PUT", items + "mug", `{"quantity":0}`, nil, 200, `"items":[]`},
		{"DELETE", items + "mug", "", nil, 200, `"items":[]`},
		{"PUT", items + "mug", `{"quantity":100}`, nil, 422, "0 to 99"},
		{"PUT", items + "mug", `{"quantity":-1}`, nil, 422, "0 to 99"},
		{"PUT", items + "a%2Fb", `{"quantity":1}`, nil, 422, "bad-item"},
		{"PUT", items + strings.Repeat("x", 65), `{"quantity":1}`, nil, 422, "bad-item"},
		{"PUT", "/carts/" + full + "/items/mug", `{"quantity":1}`, nil, 422, "full-cart"},
		{"PUT", items + "mug", `{}`, nil, 400, "quantity is missing"},
		{"PUT", items + "mug", `{"quantity":null}`, nil, 400, "quantity is missing"},
		{"PUT", items + "mug", `{"quantity":"2"}`, nil, 400, "want a whole number"},
		{"PUT", items + "mug", `{"quantity":1.5}`, nil, 400, "want a whole number"},
		{"PUT", items + "mug", `{"quantity":1,"x":1}`, nil, 400, "unknown member"},
		{"PUT", items + "mug", `{"quantity":1}{}`, nil, 400, "goes on"},
		{"PUT", items + "mug", `{"quantity":1`, nil, 400, "ends in the middle"},
		{"PUT", items + "mug", ``, nil, 400, "empty"},
		{"PUT", items + "mug", `{"quantity":1` + strings.Repeat(" ", 5<<20) + `}`, nil, 413, "larger"},
		{"POST", "/carts", `{"x":1}`, nil, 400, "unknown member"},
		{"POST", "/carts", `{}`, nil, 201, `"id"`},
		{"POST", "/carts", "", []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, "idempotency-key"},
		{"POST", "/carts/" + id + "/checkout", "", nil, 400, "idempotency-key-required"},
		{"POST", "/carts/" + id + "/checkout", "", []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, "idempotency-key"},
		{"POST", "/carts/" + empty + "/checkout", "", []string{"Idempotency-Key", "k"}, 422, "empty-cart"},
	} {
		t.Run(tc.method+" "+fmt.Sprintf("%.40s %.20s", tc.path, tc.body), func(t *testing.T) {
			status, body := a.do(tc.method, tc.path, tc.body, tc.header...)
			if status != tc.status || !strings.Contains(body, tc.want) {
				t.Errorf("got %d %.300s, want %d with %q", status, body, tc.status, tc.want)
			}
		})
	}
}

func TestVersionGrows(t *testing.T) {
	f := newFleet(t, 1, false)
	a := f.nodes[0]
	id := a.create()
	var last int64
	look := func() {
		t.Helper()
		var c cartJSON
		decode(t, a.must(200, "GET", "/carts/"+id, ""), &c)
		if c.Version <= last || c.Version > 1<<53 {
			t.Errorf("version %d after %d", c.Version, last)
		}
		last = c.Version
	}
	look()
	for n := range 5 {
		a.put(id, "mug", n+1)
		look()
	}
	a.must(201, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k")
	look()
}

func TestCheckoutRefused(t *testing.T) {
	f := newFleet(t, 1, false)
	a := f.nodes[0]
	id := a.create()
	a.put(id, "mug", 2)
	for name, tc := range map[string]struct {
		price, stock error
		status       int
		want         string
	}{
		"prices down":  {&UnavailableError{pricingName, errors.New("secret")}, nil, 503, "Nothing was ordered"},
		"not for sale": {&UnknownProductError{"mug"}, nil, 422, `"product":"mug"`},
		"shortage":     {nil, &ShortageError{"mug", 1}, 409, `"available":1`},
		"ordered":      {nil, ErrOrdered, 409, "/problems/already-ordered"},
		"key reused":   {nil, ErrKeyReused, 409, "/problems/key-reused"},
		"stock down":   {nil, &UnavailableError{inventoryName, errors.New("secret")}, 503, "same Idempotency-Key"},
		"no time":      {nil, fmt.Errorf("x: %w", http.ErrHandlerTimeout), 500, "Internal"},
	} {
		t.Run(name, func(t *testing.T) {
			f.market.priceErr, f.market.stockErr = tc.price, tc.stock
			status, body := a.do("POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k")
			if status != tc.status || !strings.Contains(body, tc.want) || strings.Contains(body, "secret") {
				t.Errorf("got %d %s, want %d with %q and no cause", status, body, tc.status, tc.want)
			}
			a.wantItems(id, "[{mug 2}]") // it can be changed and tried again
		})
	}
}

func TestUnavailableIsNotRetriedAbove(t *testing.T) {
	f := newFleet(t, 1, false)
	a := f.nodes[0]
	id := a.create()
	a.put(id, "mug", 2)
	f.market.priceErr = &UnavailableError{pricingName, errors.New("down")}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", a.server.URL+"/carts/"+id+"/checkout", http.NoBody)
	req.Header.Set("Idempotency-Key", "k")
	resp, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get(transport.HeaderNoRetry) == "" {
		t.Errorf("no %s on a %d after the retries of this service", transport.HeaderNoRetry, resp.StatusCode)
	}
}

func TestInternalRefusesNonsense(t *testing.T) {
	f := newFleet(t, 1, false)
	a := f.nodes[0]
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/internal/changes", "", 400},
		{"GET", "/internal/changes?after=-1", "", 400},
		{"GET", "/internal/changes?after=99999999999999999999", "", 400},
		{"GET", "/internal/changes?after=0", "", 200},
		{"GET", "/internal/carts/none", "", 404},
		{"POST", "/internal/carts", "{", 400},
		{"POST", "/internal/carts", `{"carts":[{"id":""}]}`, 400},
		{"POST", "/internal/carts", `{"carts":[{"id":"c1","later":true}],"later":1}`, 204},
	} {
		if status, body := a.do(tc.method, tc.path, tc.body); status != tc.status {
			t.Errorf("%s %s %s: got %d %s, want %d", tc.method, tc.path, tc.body, status, body, tc.status)
		}
	}
}
