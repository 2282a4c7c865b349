package storefront

import (
	"cmp"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gabion-go/gabion/transport"
)

// headerDegraded names the neighbours that an answer does without.
const headerDegraded = "X-Shop-Degraded"

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

type api struct {
	shop *Shop
	log  *slog.Logger
}

// APIRoutes returns the JSON API by [http.ServeMux] pattern:
//
//	GET    /api/products                    {"products":[{"id","name","price":{"amount","currency"},...}]}
//	GET    /api/products/{id}               one of them, with "recommendations"
//	POST   /api/carts                       201 {"id"}
//	GET    /api/carts/{id}                  {"id","items":[{"product","quantity","name","unit","total"}],"total","order","version"}
//	PUT    /api/carts/{id}/items/{product}  {"quantity":n} -> the cart, without names and prices
//	DELETE /api/carts/{id}/items/{product}  the same
//	POST   /api/carts/{id}/checkout         201 or, the second time, 200 {"order","cart","lines","total"}
//
// A checkout needs an Idempotency-Key; the making and the changing of a cart take
// one, under which they can be repeated. Errors are application/problem+json.
func APIRoutes(shop *Shop, log *slog.Logger) map[string]http.HandlerFunc {
	a := &api{shop, log}
	return map[string]http.HandlerFunc{
		"GET /api/products":                      a.products,
		"GET /api/products/{id}":                 a.product,
		"POST /api/carts":                        a.createCart,
		"GET /api/carts/{id}":                    a.cart,
		"PUT /api/carts/{id}/items/{product}":    a.putItem,
		"DELETE /api/carts/{id}/items/{product}": a.removeItem,
		"POST /api/carts/{id}/checkout":          a.checkout,
	}
}

func (a *api) products(w http.ResponseWriter, r *http.Request) {
	l, err := a.shop.Listing(r.Context())
	if err != nil {
		a.fail(w, r, err, l.Degraded)
		return
	}
	out := listingJSON{freshnessJSON: toFreshness(l.Freshness), Degraded: l.Degraded, Products: make([]offerJSON, 0, len(l.Offers))}
	for _, o := range l.Offers {
		out.Products = append(out.Products, toOffer(o))
	}
	a.write(w, http.StatusOK, out, l.Degraded)
}

func (a *api) product(w http.ResponseWriter, r *http.Request) {
	if !validID(r.PathValue("id")) {
		a.fail(w, r, ErrNotFound, nil)
		return
	}
	d, err := a.shop.Detail(r.Context(), r.PathValue("id"))
	if err != nil {
		a.fail(w, r, err, d.Degraded)
		return
	}
	out := detailJSON{freshnessJSON: toFreshness(d.Freshness), offerJSON: toOffer(d.Offer), Degraded: d.Degraded}
	for _, p := range d.Recommended {
		out.Recommendations = append(out.Recommendations, toProduct(p))
	}
	a.write(w, http.StatusOK, out, d.Degraded)
}

func (a *api) createCart(w http.ResponseWriter, r *http.Request) {
	key, ok := keyOf(w, r)
	if !ok {
		return
	}
	if !noBody(w, r) {
		return
	}
	cart, err := a.shop.CreateCart(r.Context(), key)
	if err != nil {
		a.fail(w, r, err, nil)
		return
	}
	w.Header().Set("Location", "/api/carts/"+cart.ID)
	a.write(w, http.StatusCreated, toCart(cart), nil)
}

func (a *api) cart(w http.ResponseWriter, r *http.Request) {
	if !validID(r.PathValue("id")) {
		a.fail(w, r, ErrNotFound, nil)
		return
	}
	v, err := a.shop.View(r.Context(), r.PathValue("id"))
	if err != nil {
		a.fail(w, r, err, nil)
		return
	}
	out := toCart(v.Cart)
	for i, l := range v.Lines {
		out.Items[i].Name, out.Items[i].Unit, out.Items[i].Total = l.Name, toPrice(l.Unit), toPrice(l.Total)
	}
	out.Total, out.Degraded = toPrice(v.Total), v.Degraded
	a.write(w, http.StatusOK, out, v.Degraded)
}

func (a *api) putItem(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Quantity *int `json:"quantity"`
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if err := transport.DecodeJSON(w, r, &in); err != nil {
		return // answered
	}
	if in.Quantity == nil {
		transport.WriteProblem(w, r, transport.Problem{
			Type: "/problems/bad-item", Title: "Quantity missing", Status: http.StatusBadRequest,
			Detail: `The body must say how many: {"quantity":1}.`,
		})
		return
	}
	id, product := r.PathValue("id"), r.PathValue("product")
	if !validID(id) || !validID(product) {
		a.fail(w, r, ErrNotFound, nil)
		return
	}
	key, ok := keyOf(w, r)
	if !ok {
		return
	}
	cart, err := a.shop.Put(r.Context(), id, key, Item{product, *in.Quantity})
	a.writeCart(w, r, cart, err)
}

func (a *api) removeItem(w http.ResponseWriter, r *http.Request) {
	id, product := r.PathValue("id"), r.PathValue("product")
	if !validID(id) || !validID(product) {
		a.fail(w, r, ErrNotFound, nil)
		return
	}
	key, ok := keyOf(w, r)
	if !ok {
		return
	}
	cart, err := a.shop.Remove(r.Context(), id, key, product)
	a.writeCart(w, r, cart, err)
}

func (a *api) writeCart(w http.ResponseWriter, r *http.Request, cart Cart, err error) {
	if err != nil {
		a.fail(w, r, err, nil)
		return
	}
	a.write(w, http.StatusOK, toCart(cart), nil)
}

func (a *api) checkout(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(transport.HeaderIdempotencyKey)
	if !validKey(key) {
		badKey(w, r)
		return
	}
	if !noBody(w, r) {
		return
	}
	if !validID(r.PathValue("id")) {
		a.fail(w, r, ErrNotFound, nil)
		return
	}
	o, err := a.shop.Checkout(r.Context(), r.PathValue("id"), key)
	if err != nil {
		a.fail(w, r, err, nil)
		return
	}
	status := http.StatusOK
	if o.New {
		status = http.StatusCreated
	}
	a.write(w, status, toOrder(o), nil)
}

func (a *api) write(w http.ResponseWriter, status int, v any, missing []string) {
	markDegraded(w, missing)
	w.Header().Set("Cache-Control", "no-store")
	_ = transport.WriteJSON(w, status, v) // a caller that left needs no answer
}

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error, missing []string) {
	markDegraded(w, missing)
	p := problem(err)
	if p.Status == http.StatusServiceUnavailable {
		a.log.DebugContext(r.Context(), "request failed", "error", err)
		w.Header().Set("Retry-After", "1")
		w.Header().Set(transport.HeaderNoRetry, "1") // the client of this service has tried
	}
	transport.WriteProblem(w, r, p)
}

func markDegraded(w http.ResponseWriter, missing []string) {
	if len(missing) > 0 {
		w.Header().Set(headerDegraded, strings.Join(missing, ", "))
	}
}

// problem says what the user may know of err.
func problem(err error) transport.Problem {
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return transport.Problem{Type: e.Type, Title: e.Title, Detail: e.Detail, Status: e.Status, Extra: e.Extra}
	}
	if errors.Is(err, ErrNotFound) {
		return transport.Problem{
			Type: "/problems/not-found", Title: "Not found", Status: http.StatusNotFound,
			Detail: "The shop has nothing of this name.",
		}
	}
	p := transport.Problem{
		Type: "/problems/shop-unavailable", Title: "Shop unavailable", Status: http.StatusServiceUnavailable,
		Detail: "The shop cannot do this right now. Please try again in a moment.",
	}
	if e, ok := errors.AsType[*UnavailableError](err); ok {
		switch e.Neighbour {
		case catalogName:
			p.Type, p.Title = "/problems/catalog-unavailable", "Products unavailable"
			p.Detail = "The shop cannot show its products right now. Please try again in a moment."
		case cartName:
			p.Type, p.Title = "/problems/cart-unavailable", "Cart unavailable"
			p.Detail = "Your cart cannot be reached right now. What is in it is safe. Please try again in a moment."
		case checkoutName:
			p.Type, p.Title = "/problems/checkout-unavailable", "Order not confirmed"
			p.Detail = "The order could not be confirmed. Please try again, with the same key if you send one: nothing is ordered twice."
		}
	}
	return p
}

// keyOf returns the client's key. A request without one gets its own, so that it
// can be repeated between here and the cart service. If the key is a bad one ok
// is false, and the request has been answered.
func keyOf(w http.ResponseWriter, r *http.Request) (key string, ok bool) {
	key = cmp.Or(r.Header.Get(transport.HeaderIdempotencyKey), rand.Text())
	if !validKey(key) {
		badKey(w, r)
		return "", false
	}
	return key, true
}

func badKey(w http.ResponseWriter, r *http.Request) {
	transport.WriteProblem(w, r, transport.Problem{
		Type: "/problems/idempotency-key-required", Title: "Idempotency-Key required", Status: http.StatusBadRequest,
		Detail: "Send an Idempotency-Key header of 1 to 128 printable characters, the same each time you repeat the request.",
	})
}

// noBody reports whether the request has no body, or an empty object. If not,
// it has answered with a problem.
func noBody(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	return transport.DecodeJSON(w, r, &struct{}{}) == nil
}
