package storefront

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/examples/shop/catalog"
	"github.com/gabion-go/gabion/examples/shop/inventory"
	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/examples/shop/pricing"
)

// fault is what a service of the fleet does instead of working.
type fault func(*http.Request) (*http.Response, error)

// fleet is the storefront's neighbours in one process, called by name as
// through a network: the APIs of catalog, pricing and inventory as they are,
// and a cart service that behaves. It may be used by many goroutines at once.
type fleet struct {
	mu       sync.Mutex
	services map[string]http.Handler
	faults   map[string]fault
	calls    []*http.Request
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	noon := func() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }
	return &fleet{
		services: map[string]http.Handler{
			catalogName:   mux(catalog.Routes(shelf(catalog.Seed()), log)),
			pricingName:   mux(pricing.Routes(pricing.Current(), noon)),
			inventoryName: mux(inventory.Routes(storeroom{stock: inventory.Seed()}, log)),
			cartName:      newFakeCarts(),
		},
		faults: map[string]fault{},
	}
}

// shelf is the catalog's store in memory.
type shelf []catalog.Product

func (s shelf) Products(context.Context) ([]catalog.Product, error) { return s, nil }

func (s shelf) Product(_ context.Context, id string) (catalog.Product, error) {
	for _, p := range s {
		if p.ID == id {
			return p, nil
		}
	}
	return catalog.Product{}, catalog.ErrNotFound
}

// storeroom is what the storefront needs of the inventory's store, in memory.
type storeroom struct {
	inventory.Store
	stock []inventory.Stock
}

func (s storeroom) Stock(context.Context) ([]inventory.Stock, error) { return s.stock, nil }

func (s storeroom) StockOf(_ context.Context, product string) (inventory.Stock, error) {
	for _, st := range s.stock {
		if st.Product == product {
			return st, nil
		}
	}
	return inventory.Stock{}, inventory.ErrNotFound
}

// run is t.Run in a bubble: neighbours that hang cost no real time.
func run(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func mux(routes map[string]http.HandlerFunc) *http.ServeMux {
	m := http.NewServeMux()
	for pattern, h := range routes {
		m.HandleFunc(pattern, h)
	}
	return m
}

// client is what gabion.Service.Client is elsewhere.
func (f *fleet) client(string) *http.Client { return &http.Client{Transport: f} }

// shop returns a storefront over the fleet.
func (f *fleet) shop(budget time.Duration) *Shop {
	return NewShop(HTTPNeighbours(f.client), budget, slog.New(slog.DiscardHandler))
}

// hit makes a service misbehave; nil mends it.
func (f *fleet) hit(service string, fl fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[service] = fl
}

// last returns the last call of a service.
func (f *fleet) last(service string) *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.calls) - 1; i >= 0; i-- {
		if f.calls[i].URL.Host == service {
			return f.calls[i]
		}
	}
	return nil
}

// RoundTrip implements [http.RoundTripper].
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	h, fl := f.services[r.URL.Host], f.faults[r.URL.Host]
	f.calls = append(f.calls, r)
	f.mu.Unlock()
	if fl != nil {
		return fl(r)
	}
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	h.ServeHTTP(rec, in)
	return rec.Result(), nil
}

func down(*http.Request) (*http.Response, error) {
	return nil, errors.New("dial tcp 10.0.0.7:4711: connection refused")
}

// hang answers nothing for as long as the caller waits.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func says(status int, body string) fault {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// slow answers as the service does, but late.
func (f *fleet) slow(d time.Duration) fault {
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(d)
		rec := httptest.NewRecorder()
		f.services[r.URL.Host].ServeHTTP(rec, r)
		return rec.Result(), nil
	}
}

// onPath applies fl to requests whose path ends in suffix; the others pass.
func (f *fleet) onPath(service, suffix string, fl fault) fault {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			return fl(r)
		}
		rec := httptest.NewRecorder()
		f.services[service].ServeHTTP(rec, r)
		return rec.Result(), nil
	}
}

// faults are all the ways in which a neighbour can be of no use.
func faults() map[string]fault {
	return map[string]fault{
		"down":         down,
		"hanging":      hang,
		"failing":      says(500, `{"title":"secret stack trace"}`),
		"overloaded":   says(503, `{"type":"about:blank"}`),
		"empty":        says(200, ``),
		"HTML":         says(200, `<html>It works!</html>`),
		"other JSON":   says(200, `{"hello":"world"}`),
		"null":         says(200, `null`),
		"wrong types":  says(200, `{"products":7,"prices":7,"stock":7,"product":7}`),
		"wrong values": says(200, `{"products":[{"id":"../x"}],"prices":[{"product":"enamel-mug"}],"stock":[{"product":"enamel-mug"}]}`),
		"endless":      says(200, `{"products":[],"prices":[],"stock":[]}`+strings.Repeat(" ", 2<<20)),
	}
}

// fakeCarts is the cart service's API over a map.
type fakeCarts struct {
	mu    sync.Mutex
	carts map[string]*cartWire
	byKey map[string]string
}

func newFakeCarts() http.Handler {
	c := &fakeCarts{carts: map[string]*cartWire{}, byKey: map[string]string{}}
	return mux(map[string]http.HandlerFunc{
		"POST /carts":                        c.create,
		"GET /carts/{id}":                    c.change(func(*cartWire, *http.Request) {}),
		"PUT /carts/{id}/items/{product}":    c.change(put),
		"DELETE /carts/{id}/items/{product}": c.change(remove),
		"POST /carts/{id}/checkout":          c.checkout,
	})
}

func (c *fakeCarts) create(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	id, known := c.byKey[key]
	if !known {
		id = fmt.Sprintf("cart-%d", len(c.carts)+1)
		c.byKey[key], c.carts[id] = id, &cartWire{ID: id, Items: []itemWire{}}
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(c.carts[id])
}

func (c *fakeCarts) change(do func(*cartWire, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		cart, ok := c.carts[r.PathValue("id")]
		if !ok {
			notThere(w)
			return
		}
		do(cart, r)
		_ = json.NewEncoder(w).Encode(cart)
	}
}

func notThere(w http.ResponseWriter) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"type":"/problems/unknown-cart","title":"Unknown cart","detail":"There is no such cart.","secret":"x"}`)
}

func put(cart *cartWire, r *http.Request) {
	var in struct{ Quantity int }
	_ = json.NewDecoder(r.Body).Decode(&in)
	remove(cart, r)
	cart.Items = append(cart.Items, itemWire{r.PathValue("product"), in.Quantity})
	cart.Version++
}

func remove(cart *cartWire, r *http.Request) {
	kept := []itemWire{}
	for _, it := range cart.Items {
		if it.Product != r.PathValue("product") {
			kept = append(kept, it)
		}
	}
	cart.Items = kept
}

func (c *fakeCarts) checkout(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cart, ok := c.carts[r.PathValue("id")]
	if !ok {
		notThere(w)
		return
	}
	status := http.StatusOK
	if cart.Order == nil {
		status = http.StatusCreated
		cart.Order = &orderWire{"G-" + r.Header.Get("Idempotency-Key"), cart.ID, cart.Items, kit.Euros(16690)}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(cart.Order)
}
