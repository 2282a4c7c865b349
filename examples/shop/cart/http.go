package cart

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

// maxKey bounds an idempotency key, in bytes.
const maxKey = 128

type quantityJSON struct {
	Quantity *int `json:"quantity"`
}

type cartJSON struct {
	ID      string     `json:"id"`
	Items   []lineJSON `json:"items"`
	Order   *orderJSON `json:"order,omitempty"`
	Version int64      `json:"version"`
}

type orderJSON struct {
	Order   string     `json:"order"`
	Cart    string     `json:"cart"`
	Lines   []lineJSON `json:"lines"`
	Total   kit.Money  `json:"total"`
	Created time.Time  `json:"created"`
}

type handler struct {
	carts *Carts
	log   *slog.Logger
}

// Routes returns the service's public API by [http.ServeMux] pattern:
//
//	POST   /carts                       201 {"id"}
//	GET    /carts/{id}                  {"id","items":[{"product","quantity"}],"order","version"}
//	PUT    /carts/{id}/items/{product}  {"quantity"} -> the cart
//	DELETE /carts/{id}/items/{product}  the cart
//	POST   /carts/{id}/checkout         201, or 200 when repeated:
//	                                    {"order","cart","lines","total","created"}
//
// A cart's order is there once it is checked out; the version grows with every
// change that this replica has seen. A checkout needs an Idempotency-Key, the
// making and the changing of a cart take one.
func Routes(carts *Carts, log *slog.Logger) map[string]http.HandlerFunc {
	h := &handler{carts, log}
	return map[string]http.HandlerFunc{
		"POST /carts":                        h.create,
		"GET /carts/{id}":                    h.get,
		"PUT /carts/{id}/items/{product}":    h.put,
		"DELETE /carts/{id}/items/{product}": h.remove,
		"POST /carts/{id}/checkout":          h.checkout,
	}
}

func (h *handler) create(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(transport.HeaderIdempotencyKey)
	if len(key) > maxKey {
		h.fail(w, r, errBadKey)
		return
	}
	if !noBody(w, r) {
		return // answered
	}
	c, err := h.carts.Create(r.Context(), key)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusCreated, map[string]string{"id": c.ID})
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r)(h.carts.Get(r.Context(), r.PathValue("id")))
}

func (h *handler) put(w http.ResponseWriter, r *http.Request) {
	var in quantityJSON
	if err := transport.DecodeJSON(w, r, &in); err != nil {
		return // answered
	}
	if in.Quantity == nil {
		h.fail(w, r, errNoQuantity)
		return
	}
	h.set(w, r, *in.Quantity)
}

func (h *handler) remove(w http.ResponseWriter, r *http.Request) { h.set(w, r, 0) }

func (h *handler) set(w http.ResponseWriter, r *http.Request, quantity int) {
	key := r.Header.Get(transport.HeaderIdempotencyKey)
	if len(key) > maxKey {
		h.fail(w, r, errBadKey)
		return
	}
	h.answer(w, r)(h.carts.SetItem(r.Context(), r.PathValue("id"), key, r.PathValue("product"), quantity))
}

func (h *handler) checkout(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(transport.HeaderIdempotencyKey)
	if key == "" || len(key) > maxKey {
		h.fail(w, r, errBadKey)
		return
	}
	if !noBody(w, r) {
		return // answered
	}
	id := r.PathValue("id")
	o, created, err := h.carts.Checkout(r.Context(), id, key)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	_ = transport.WriteJSON(w, status, toOrderJSON(id, o))
}

// answer returns what writes a cart, or the error in place of it.
func (h *handler) answer(w http.ResponseWriter, r *http.Request) func(Cart, error) {
	return func(c Cart, err error) {
		if err != nil {
			h.fail(w, r, err)
			return
		}
		_ = transport.WriteJSON(w, http.StatusOK, toCartJSON(c))
	}
}

// noBody lets a request without a body or with an empty object pass, and
// answers any other.
func noBody(w http.ResponseWriter, r *http.Request) bool {
	return r.ContentLength == 0 || transport.DecodeJSON(w, r, &struct{}{}) == nil
}

func toCartJSON(c Cart) cartJSON {
	out := cartJSON{ID: c.ID, Items: toLinesJSON(c.Lines()), Version: version(c)}
	if c.Order != nil {
		o := toOrderJSON(c.ID, *c.Order)
		out.Order = &o
	}
	return out
}

// version makes one number of the latest stamp and whether there is an order.
// JavaScript can hold it until the year 2112.
func version(c Cart) int64 {
	v := c.Latest().Micros << 1
	if c.Order != nil {
		v |= 1
	}
	return v
}

func toOrderJSON(cart string, o Order) orderJSON {
	return orderJSON{o.ID, cart, toLinesJSON(o.Lines), o.Total, o.Created}
}

var (
	errBadKey     = errors.New("cart: bad idempotency key")
	errNoQuantity = errors.New("cart: no quantity")
)

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errOvertaken) {
		refuseOld(w, r)
		return
	}
	p := problem(err)
	if p.Status == http.StatusInternalServerError {
		h.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		w.Header().Set(transport.HeaderNoRetry, "1") // the client of this service has tried
	}
	transport.WriteProblem(w, r, p)
}

// problem says what the caller may know of err.
func problem(err error) transport.Problem {
	if e, ok := errors.AsType[*ShortageError](err); ok {
		return transport.Problem{
			Type: "/problems/insufficient-stock", Title: "Not enough in stock", Status: http.StatusConflict,
			Detail: "There is less of this product in stock than the cart holds.",
			Extra:  map[string]any{"product": e.Product, "available": e.Available},
		}
	}
	if e, ok := errors.AsType[*UnknownProductError](err); ok {
		return transport.Problem{
			Type: "/problems/unknown-product", Title: "Unknown product", Status: http.StatusUnprocessableEntity,
			Detail: "The cart holds a product that the shop does not sell.",
			Extra:  map[string]any{"product": e.Product},
		}
	}
	if e, ok := errors.AsType[*UnavailableError](err); ok {
		return unavailable(e.Service)
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			p := k.problem
			if p.Detail == "" {
				p.Detail = strings.TrimPrefix(err.Error(), k.err.Error()+": ")
			}
			return p
		}
	}
	return transport.Problem{Status: http.StatusInternalServerError}
}

func unavailable(service string) transport.Problem {
	p := transport.Problem{
		Type: "/problems/" + service + "-unavailable", Status: http.StatusServiceUnavailable,
		Title:  "Checkout is not possible now",
		Detail: "Prices cannot be confirmed at the moment. Nothing was ordered; please try again.",
	}
	if service != pricingName {
		p.Title = "The order is not confirmed"
		p.Detail = "The stock did not answer. Try again with the same Idempotency-Key: it is never ordered twice."
	}
	return p
}

// known are the plain errors and how they look outside. Where the detail is
// empty, the error's own text is fit for the caller.
var known = []struct {
	err     error
	problem transport.Problem
}{
	{ErrNotFound, transport.Problem{Type: "/problems/unknown-cart", Title: "Unknown cart", Status: http.StatusNotFound, Detail: "There is no such cart."}},
	{ErrUncertain, transport.Problem{Status: http.StatusServiceUnavailable, Title: "Replicas missing", Detail: "A replica that may know more of this cart does not answer. Nothing was changed."}},
	{ErrOrdered, transport.Problem{Type: "/problems/already-ordered", Title: "Already ordered", Status: http.StatusConflict, Detail: "This cart has been ordered and cannot be changed any more."}},
	{ErrKeyReused, transport.Problem{Type: "/problems/key-reused", Title: "Key used before", Status: http.StatusConflict, Detail: "This key belongs to another change, or has ordered another cart."}},
	{ErrEmpty, transport.Problem{Type: "/problems/empty-cart", Title: "Empty cart", Status: http.StatusUnprocessableEntity, Detail: "There is nothing in this cart."}},
	{ErrFull, transport.Problem{Type: "/problems/full-cart", Title: "Full cart", Status: http.StatusUnprocessableEntity}},
	{ErrBadItem, transport.Problem{Type: "/problems/bad-item", Title: "Bad item", Status: http.StatusUnprocessableEntity}},
	{errNoQuantity, transport.Problem{Status: http.StatusBadRequest, Detail: "The quantity is missing."}},
	{errBadKey, transport.Problem{Type: "/problems/idempotency-key-required", Title: "Idempotency-Key required", Status: http.StatusBadRequest, Detail: "The Idempotency-Key header must have 1 to 128 bytes."}},
	{context.DeadlineExceeded, transport.Problem{Status: http.StatusServiceUnavailable, Detail: "There was not enough time."}},
	{context.Canceled, transport.Problem{Status: http.StatusServiceUnavailable, Detail: "The request was given up."}},
}
