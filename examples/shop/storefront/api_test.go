package storefront

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// patient is a budget that no neighbour exceeds unless it hangs, however busy
// the machine is. Where one hangs, the clock is a bubble's.
const patient = time.Minute

func apiOf(s *Shop) http.Handler { return mux(APIRoutes(s, slog.New(slog.DiscardHandler))) }

func do(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// getJSON decodes a 200 and checks that body and header agree on what is
// missing.
func getJSON[T any](t *testing.T, h http.Handler, path string, missing ...string) (out T) {
	t.Helper()
	rec := do(h, "GET", path, "")
	var mark struct{ Degraded []string }
	if err := json.Unmarshal(rec.Body.Bytes(), &mark); err != nil || rec.Code != 200 {
		t.Fatalf("GET %s: got %d %s, %v", path, rec.Code, rec.Body, err)
	}
	if !slices.Equal(mark.Degraded, missing) || rec.Header().Get(headerDegraded) != strings.Join(missing, ", ") {
		t.Errorf("GET %s: degraded %v, header %q; want %v", path, mark.Degraded, rec.Header().Get(headerDegraded), missing)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProducts(t *testing.T) {
	got := getJSON[listingJSON](t, apiOf(newFleet(t).shop(patient)), "/api/products")
	if len(got.Products) != 12 || got.Stale {
		t.Fatalf("got %d products, stale %v; want 12 fresh ones", len(got.Products), got.Stale)
	}
	for _, p := range got.Products {
		if p.Price == nil || p.Price.Amount <= 0 || p.Price.Currency != "EUR" || p.Price.Stale || p.Availability == Unknown || p.Available == nil {
			t.Errorf("incomplete: %+v", p)
		}
	}
	if mug := got.Products[0]; mug.ID != "enamel-mug" || mug.Price.Amount != 1450 || mug.Availability != InStock || mug.Image != "/images/enamel-mug.svg" {
		t.Errorf("got %+v", mug)
	}
	if basket := got.Products[2]; basket.Availability != LowStock || *basket.Available != 12 {
		t.Errorf("got %+v", basket)
	}
}

func TestProduct(t *testing.T) {
	h := apiOf(newFleet(t).shop(patient))
	got := getJSON[detailJSON](t, h, "/api/products/oak-stool")
	if got.ID != "oak-stool" || got.Price.Amount != 9800 || got.Availability != InStock || len(got.Recommendations) != 4 {
		t.Errorf("got %+v", got)
	}
	for _, path := range []string{"/api/products/anvil", "/api/products/..%2f..%2fx", "/api/products/" + strings.Repeat("x", 65)} {
		if rec := do(h, "GET", path, ""); rec.Code != 404 || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s", path, rec.Code, rec.Header())
		}
	}
}

// Whatever pricing does, the list is there, marked, with the last prices known.
func TestPricingMissing(t *testing.T) {
	for name, fl := range faults() {
		run(t, name, func(t *testing.T) {
			f := newFleet(t)
			h := apiOf(f.shop(patient))
			f.hit(pricingName, fl)
			cold := getJSON[listingJSON](t, h, "/api/products", pricingName)
			if len(cold.Products) != 12 || cold.Products[0].Price != nil {
				t.Errorf("never known: got %d products, price %v; want 12, none", len(cold.Products), cold.Products[0].Price)
			}
			f.hit(pricingName, nil)
			getJSON[listingJSON](t, h, "/api/products")
			f.hit(pricingName, fl)
			for _, p := range getJSON[listingJSON](t, h, "/api/products", pricingName).Products {
				if p.Price == nil || !p.Price.Stale || p.Price.AsOf == nil || p.Price.Amount == 0 {
					t.Errorf("%s: got %+v, want the last price, marked", p.ID, p.Price)
				}
			}
			one := getJSON[detailJSON](t, h, "/api/products/oak-stool", pricingName)
			if one.Price == nil || !one.Price.Stale || one.Price.Amount != 9800 {
				t.Errorf("got %+v", one.Price)
			}
		})
	}
}

func TestInventoryMissing(t *testing.T) {
	for name, fl := range faults() {
		run(t, name, func(t *testing.T) {
			f := newFleet(t)
			h := apiOf(f.shop(patient))
			f.hit(inventoryName, fl)
			for _, p := range getJSON[listingJSON](t, h, "/api/products", inventoryName).Products {
				if p.Availability != Unknown || p.Available != nil || p.Price == nil || p.Price.Stale {
					t.Errorf("got %+v", p)
				}
			}
			one := getJSON[detailJSON](t, h, "/api/products/oak-stool", inventoryName)
			if one.Availability != Unknown || one.Available != nil {
				t.Errorf("got %+v", one)
			}
		})
	}
}

func TestCatalogMissing(t *testing.T) {
	for name, fl := range faults() {
		run(t, name, func(t *testing.T) {
			f := newFleet(t)
			h := apiOf(f.shop(patient))
			f.hit(catalogName, fl)
			for _, path := range []string{"/api/products", "/api/products/oak-stool"} {
				rec := do(h, "GET", path, "")
				if rec.Code != 503 || !strings.Contains(rec.Body.String(), "/problems/catalog-unavailable") ||
					!strings.Contains(rec.Header().Get(headerDegraded), catalogName) || leaks(rec) {
					t.Errorf("never known, %s: got %d %s %q", path, rec.Code, rec.Body, rec.Header().Get(headerDegraded))
				}
			}
			f.hit(catalogName, nil)
			before := getJSON[listingJSON](t, h, "/api/products")
			f.hit(catalogName, fl)
			after := getJSON[listingJSON](t, h, "/api/products", catalogName)
			if !after.Stale || after.AsOf == nil || len(after.Products) != len(before.Products) || after.Products[3].ID != before.Products[3].ID {
				t.Errorf("got stale %v as of %v, %d products; want the last list in its order", after.Stale, after.AsOf, len(after.Products))
			}
			if p := after.Products[0]; p.Price == nil || p.Price.Stale || p.Availability != InStock {
				t.Errorf("what is known suffers too: %+v", p)
			}
			one := getJSON[detailJSON](t, h, "/api/products/oak-stool", catalogName, recommendationsName)
			if !one.Stale || one.Name != "Oak stool" || one.Price.Amount != 9800 || one.Recommendations != nil {
				t.Errorf("got %+v", one)
			}
		})
	}
}

func leaks(rec *httptest.ResponseRecorder) bool {
	return strings.Contains(rec.Body.String(), "secret") || strings.Contains(rec.Body.String(), "10.0.0.7")
}

func TestEverythingMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		h := apiOf(f.shop(0))
		getJSON[listingJSON](t, h, "/api/products")
		for _, service := range []string{catalogName, pricingName, inventoryName} {
			f.hit(service, hang)
		}
		start := time.Now()
		got := getJSON[listingJSON](t, h, "/api/products", catalogName, inventoryName, pricingName)
		if p := got.Products[0]; !got.Stale || !p.Price.Stale || p.Availability != Unknown {
			t.Errorf("got %+v", p)
		}
		if took := time.Since(start); took != DefaultBudget {
			t.Errorf("took %v, want one budget of %v for all", took, DefaultBudget)
		}
	})
}

func TestNeighboursAreAskedAtOnce(t *testing.T) {
	const late = 300 * time.Millisecond
	for _, path := range []string{"/api/products", "/api/products/oak-stool"} {
		run(t, path, func(t *testing.T) {
			f := newFleet(t)
			for _, service := range []string{catalogName, pricingName, inventoryName} {
				f.hit(service, f.slow(late))
			}
			start := time.Now()
			if rec := do(apiOf(f.shop(0)), "GET", path, ""); rec.Code != 200 || rec.Header().Get(headerDegraded) != "" {
				t.Errorf("got %d, degraded %q", rec.Code, rec.Header().Get(headerDegraded))
			}
			if took := time.Since(start); took != late {
				t.Errorf("took %v, want %v", took, late)
			}
		})
	}
}

func TestRecommendationsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.hit(catalogName, f.onPath(catalogName, "/recommendations", hang))
		got := getJSON[detailJSON](t, apiOf(f.shop(0)), "/api/products/oak-stool", recommendationsName)
		if got.Stale || got.Name != "Oak stool" || got.Recommendations != nil {
			t.Errorf("got %+v", got)
		}
	})
}

// A product that the catalog has given up is not shown from memory.
func TestProductGone(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	getJSON[listingJSON](t, h, "/api/products")
	f.hit(catalogName, says(404, ""))
	if rec := do(h, "GET", "/api/products/oak-stool", ""); rec.Code != 404 {
		t.Errorf("got %d", rec.Code)
	}
	f.hit(catalogName, down)
	if rec := do(h, "GET", "/api/products/oak-stool", ""); rec.Code != 503 {
		t.Errorf("then down: got %d, want 503: it is forgotten", rec.Code)
	}
}

// A product that pricing no longer lists has no price; an old one would be a lie.
func TestPriceGone(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	getJSON[listingJSON](t, h, "/api/products")
	f.hit(pricingName, says(200, `{"prices":[]}`))
	if p := getJSON[listingJSON](t, h, "/api/products").Products[0]; p.Price != nil {
		t.Errorf("list: got %+v", p.Price)
	}
	f.hit(pricingName, says(404, ""))
	if p := getJSON[detailJSON](t, h, "/api/products/enamel-mug"); p.Price != nil {
		t.Errorf("product: got %+v", p.Price)
	}
}

func TestBuying(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	rec := do(h, "POST", "/api/carts", "")
	var cart cartJSON
	if err := json.Unmarshal(rec.Body.Bytes(), &cart); err != nil || rec.Code != 201 || cart.ID == "" {
		t.Fatalf("create: got %d %s", rec.Code, rec.Body)
	}
	if f.last(cartName).Header.Get("Idempotency-Key") == "" {
		t.Error("a cart is made without a key, so the call cannot be repeated")
	}
	at := "/api/carts/" + cart.ID
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", at + "/items/enamel-mug", `{"quantity":5}`, 200},
		{"PUT", at + "/items/oak-stool", `{"quantity":1}`, 200},
		{"PUT", at + "/items/desk-clock", `{"quantity":1}`, 200},
		{"DELETE", at + "/items/desk-clock", ``, 200},
	} {
		if rec := do(h, step.method, step.path, step.body); rec.Code != step.status || !strings.Contains(rec.Body.String(), `"id":"`+cart.ID) {
			t.Fatalf("%s %s: got %d %s", step.method, step.path, rec.Code, rec.Body)
		}
	}
	view := getJSON[cartJSON](t, h, at)
	if len(view.Items) != 2 || view.Items[0].Name != "Enamel mug" || view.Items[0].Unit.Amount != 1378 ||
		view.Items[0].Total.Amount != 6890 || view.Total.Amount != 16690 || view.Total.Stale {
		t.Errorf("got %+v, total %+v", view.Items, view.Total)
	}
	if rec := do(h, "POST", at+"/checkout", ""); rec.Code != 400 || !strings.Contains(rec.Body.String(), "idempotency-key-required") {
		t.Errorf("without a key: got %d %s", rec.Code, rec.Body)
	}
	first := do(h, "POST", at+"/checkout", "", "Idempotency-Key", "k1")
	again := do(h, "POST", at+"/checkout", "", "Idempotency-Key", "k1")
	if first.Code != 201 || again.Code != 200 || first.Body.String() != again.Body.String() || !strings.Contains(first.Body.String(), `"order":"G-k1"`) {
		t.Errorf("got %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
}

func TestSameKeySameCart(t *testing.T) {
	h := apiOf(newFleet(t).shop(patient))
	a := do(h, "POST", "/api/carts", "{}", "Idempotency-Key", "mine")
	b := do(h, "POST", "/api/carts", "", "Idempotency-Key", "mine")
	if a.Code != 201 || a.Body.String() != b.Body.String() {
		t.Errorf("got %s, then %s", a.Body, b.Body)
	}
}

func TestCartWithoutPricing(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	do(h, "POST", "/api/carts", "")
	do(h, "PUT", "/api/carts/cart-1/items/enamel-mug", `{"quantity":2}`)
	f.hit(pricingName, down)
	if view := getJSON[cartJSON](t, h, "/api/carts/cart-1", pricingName); view.Total != nil || view.Items[0].Unit != nil || view.Items[0].Name != "Enamel mug" {
		t.Errorf("never known: got %+v %+v", view.Items, view.Total)
	}
	f.hit(pricingName, nil)
	getJSON[listingJSON](t, h, "/api/products")
	f.hit(pricingName, down)
	f.hit(catalogName, down)
	view := getJSON[cartJSON](t, h, "/api/carts/cart-1", catalogName, pricingName)
	if l := view.Items[0]; !l.Unit.Stale || l.Total.Amount != 2900 || !view.Total.Stale || view.Total.Amount != 2900 || l.Name != "Enamel mug" {
		t.Errorf("got %+v, total %+v", l, view.Total)
	}
}

// What a cart costs is pricing's to say: it need not be the sum of the lines.
func TestTotalIsPricings(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	do(h, "POST", "/api/carts", "")
	do(h, "PUT", "/api/carts/cart-1/items/enamel-mug", `{"quantity":1}`)
	f.hit(pricingName, says(200, `{"lines":[{"product":"enamel-mug","quantity":1,"unit":{"amount":1450,"currency":"EUR"},"total":{"amount":1450,"currency":"EUR"}}],"total":{"amount":1000,"currency":"EUR"}}`))
	if view := getJSON[cartJSON](t, h, "/api/carts/cart-1"); view.Total == nil || view.Total.Amount != 1000 {
		t.Errorf("got %+v", view.Total)
	}
}

func TestCartRefusesAndFails(t *testing.T) {
	pricingDown := `{"type":"/problems/pricing-unavailable","title":"No prices","detail":"Prices cannot be had right now.","status":503}`
	sold := `{"type":"/problems/insufficient-stock","title":"Not enough","detail":"Less in stock.","product":"oak-stool","available":1,"dsn":"secret"}`
	for name, c := range map[string]struct {
		fault  fault
		status int
		want   []string
	}{
		"refused":            {says(409, sold), 409, []string{"/problems/insufficient-stock", `"available":1`, "oak-stool", "Less in stock."}},
		"wordless":           {says(409, ``), 409, []string{`"title":"Conflict"`}},
		"reasoned 503":       {says(503, pricingDown), 503, []string{"/problems/pricing-unavailable", "Prices cannot be had right now."}},
		"any other 503":      {says(503, `{"title":"secret"}`), 503, []string{"/problems/checkout-unavailable", "nothing is ordered twice"}},
		"500":                {says(500, `{"type":"/problems/x","title":"secret"}`), 503, []string{"/problems/checkout-unavailable"}},
		"down":               {down, 503, []string{"/problems/checkout-unavailable"}},
		"garbage":            {says(200, `<html>`), 503, []string{"/problems/checkout-unavailable"}},
		"another cart":       {says(200, `{"order":"G-1","cart":"other","total":{"amount":1,"currency":"EUR"}}`), 503, []string{"/problems/checkout-unavailable"}},
		"order without name": {says(200, `{"cart":"c1","total":{"amount":1,"currency":"EUR"}}`), 503, []string{"/problems/checkout-unavailable"}},
	} {
		run(t, name, func(t *testing.T) {
			f := newFleet(t)
			f.hit(cartName, c.fault)
			rec := do(apiOf(f.shop(patient)), "POST", "/api/carts/c1/checkout", "", "Idempotency-Key", "k")
			if rec.Code != c.status || leaks(rec) || rec.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %d %s", rec.Code, rec.Body)
			}
			for _, want := range c.want {
				if !strings.Contains(rec.Body.String(), want) {
					t.Errorf("got %s, want %s in it", rec.Body, want)
				}
			}
		})
	}
}

func TestCartDown(t *testing.T) {
	f := newFleet(t)
	f.hit(cartName, down)
	h := apiOf(f.shop(patient))
	for _, c := range [][3]string{
		{"POST", "/api/carts", ""}, {"GET", "/api/carts/c", ""},
		{"PUT", "/api/carts/c/items/oak-stool", `{"quantity":1}`}, {"DELETE", "/api/carts/c/items/oak-stool", ""},
	} {
		rec := do(h, c[0], c[1], c[2])
		if rec.Code != 503 || !strings.Contains(rec.Body.String(), "/problems/cart-unavailable") || leaks(rec) || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s: got %d %s", c[0], c[1], rec.Code, rec.Body)
		}
	}
}

func TestBadRequests(t *testing.T) {
	f := newFleet(t)
	h := apiOf(f.shop(patient))
	do(h, "POST", "/api/carts", "")
	const item = "/api/carts/cart-1/items/oak-stool"
	for name, c := range map[string]struct {
		method, path, body, key string
		status                  int
	}{
		"unknown member":      {"PUT", item, `{"quantity":1,"coupon":"x"}`, "", 400},
		"wrong type":          {"PUT", item, `{"quantity":"1"}`, "", 400},
		"fraction":            {"PUT", item, `{"quantity":1.5}`, "", 400},
		"no quantity":         {"PUT", item, `{}`, "", 400},
		"no body":             {"PUT", item, ``, "", 400},
		"not JSON":            {"PUT", item, `quantity=1`, "", 400},
		"two values":          {"PUT", item, `{"quantity":1}{"quantity":2}`, "", 400},
		"too large":           {"PUT", item, `{"quantity":1` + strings.Repeat(" ", maxRequest) + `}`, "", 413},
		"unknown product":     {"PUT", "/api/carts/cart-1/items/anvil", `{"quantity":1}`, "", 404},
		"impossible product":  {"PUT", "/api/carts/cart-1/items/a%2Fb", `{"quantity":1}`, "", 404},
		"impossible cart":     {"GET", "/api/carts/%2e%2e%2fx", ``, "", 404},
		"unknown cart":        {"GET", "/api/carts/nope", ``, "", 404},
		"body for a new cart": {"POST", "/api/carts", `{"id":"mine"}`, "", 400},
		"body for a checkout": {"POST", "/api/carts/cart-1/checkout", `{"total":0}`, "k", 400},
		"key with a newline":  {"POST", "/api/carts/cart-1/checkout", ``, "a\nb", 400},
		"endless key":         {"POST", "/api/carts/cart-1/checkout", ``, strings.Repeat("k", 129), 400},
		"wrong method":        {"PATCH", item, `{}`, "", 405},
	} {
		run(t, name, func(t *testing.T) {
			rec := do(h, c.method, c.path, c.body, "Idempotency-Key", c.key)
			if rec.Code != c.status || leaks(rec) {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, c.status)
			}
		})
	}
}
