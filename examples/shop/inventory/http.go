package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

type stockJSON struct {
	Product   string `json:"product"`
	Available int    `json:"available"`
}

type stocksJSON struct {
	Stock []stockJSON `json:"stock"`
}

type lineJSON struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

type requestJSON struct {
	Cart  string     `json:"cart"`
	Key   string     `json:"key"`
	Lines []lineJSON `json:"lines"`
	Total kit.Money  `json:"total"`
}

type reservationJSON struct {
	Order   string     `json:"order"`
	Cart    string     `json:"cart"`
	Key     string     `json:"key"`
	Lines   []lineJSON `json:"lines"`
	Total   kit.Money  `json:"total"`
	Created time.Time  `json:"created"`
}

type handler struct {
	store Store
	log   *slog.Logger
}

// Routes returns the service's public API by [http.ServeMux] pattern:
//
//	GET  /v1/stock                  {"stock":[{"product","available"}]}
//	GET  /v1/stock/{product}        one of them
//	POST /v1/reservations           {"cart","key","lines":[{"product","quantity"}],"total"} ->
//	                                {"order","cart","key","lines","total","created"}
//	GET  /v1/reservations/{order}   the same
//
// A reservation needs an Idempotency-Key header. It answers 201 when it was
// made, 200 when the same cart and key had made it before, and 409 when there
// is too little in stock or the cart or the key was used before with another.
func Routes(store Store, log *slog.Logger) map[string]http.HandlerFunc {
	h := &handler{store, log}
	return map[string]http.HandlerFunc{
		"GET /v1/stock":                h.stock,
		"GET /v1/stock/{product}":      h.stockOf,
		"POST /v1/reservations":        h.reserve,
		"GET /v1/reservations/{order}": h.reservation,
	}
}

func (h *handler) stock(w http.ResponseWriter, r *http.Request) {
	all, err := h.store.Stock(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	out := stocksJSON{make([]stockJSON, 0, len(all))}
	for _, s := range all {
		out.Stock = append(out.Stock, stockJSON(s))
	}
	_ = transport.WriteJSON(w, http.StatusOK, out)
}

func (h *handler) stockOf(w http.ResponseWriter, r *http.Request) {
	s, err := h.store.StockOf(r.Context(), r.PathValue("product"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, stockJSON(s))
}

func (h *handler) reservation(w http.ResponseWriter, r *http.Request) {
	res, err := h.store.Reservation(r.Context(), r.PathValue("order"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, toJSON(res))
}

func (h *handler) reserve(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(transport.HeaderIdempotencyKey)
	if key == "" {
		transport.WriteProblem(w, r, transport.Problem{
			Type: "/problems/idempotency-key-required", Title: "Idempotency-Key required",
			Status: http.StatusBadRequest, Detail: "A reservation needs an Idempotency-Key header.",
		})
		return
	}
	var in requestJSON
	if err := transport.DecodeJSON(w, r, &in); err != nil {
		return // answered
	}
	if cmp.Or(in.Key, key) != key {
		h.fail(w, r, fmt.Errorf("%w: the key of the body is not that of the header", ErrBadRequest))
		return
	}
	req := Request{Cart: in.Cart, Key: key, Total: in.Total, Lines: make([]Line, 0, len(in.Lines))}
	for _, l := range in.Lines {
		req.Lines = append(req.Lines, Line(l))
	}
	res, created, err := h.store.Reserve(r.Context(), req)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	_ = transport.WriteJSON(w, status, toJSON(res))
}

func toJSON(res Reservation) reservationJSON {
	out := reservationJSON{
		Order: res.Order, Cart: res.Cart, Key: res.Key, Total: res.Total, Created: res.Created,
		Lines: make([]lineJSON, 0, len(res.Lines)),
	}
	for _, l := range res.Lines {
		out.Lines = append(out.Lines, lineJSON(l))
	}
	return out
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem(err)
	if p.Status == http.StatusServiceUnavailable && r.Context().Err() == nil {
		h.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	transport.WriteProblem(w, r, p)
}

// problem says what the caller may know of err.
func problem(err error) transport.Problem {
	if e, ok := errors.AsType[*InsufficientError](err); ok {
		return transport.Problem{
			Type: "/problems/insufficient-stock", Title: "Not enough in stock", Status: http.StatusConflict,
			Detail: "There is less of this product in stock than was asked for.",
			Extra:  map[string]any{"product": e.Product, "available": e.Available},
		}
	}
	if e, ok := errors.AsType[*UnknownProductError](err); ok {
		return transport.Problem{
			Type: "/problems/unknown-product", Title: "Unknown product", Status: http.StatusUnprocessableEntity,
			Detail: "The shop does not keep this product.",
			Extra:  map[string]any{"product": e.Product},
		}
	}
	switch {
	case errors.Is(err, ErrNothing):
		return transport.Problem{
			Type: "/problems/nothing-to-reserve", Title: "Nothing to reserve", Status: http.StatusUnprocessableEntity,
			Detail: "There are no lines, and nothing was reserved for this cart before.",
		}
	case errors.Is(err, ErrAlreadyOrdered):
		return transport.Problem{
			Type: "/problems/already-ordered", Title: "Already ordered", Status: http.StatusConflict,
			Detail: "This cart has been ordered under another key.",
		}
	case errors.Is(err, ErrKeyReused):
		return transport.Problem{
			Type: "/problems/key-reused", Title: "Key used before", Status: http.StatusConflict,
			Detail: "This key has ordered another cart.",
		}
	case errors.Is(err, ErrNotFound):
		return transport.Problem{Status: http.StatusNotFound}
	case errors.Is(err, ErrBadRequest):
		return transport.Problem{
			Type: "/problems/bad-reservation", Title: "Bad reservation", Status: http.StatusUnprocessableEntity,
			Detail: strings.TrimPrefix(err.Error(), ErrBadRequest.Error()+": "),
		}
	}
	// The store failed or is busy. A reservation is safe to repeat, here or at
	// another replica, and 503 says so.
	return transport.Problem{
		Type: "/problems/inventory-unavailable", Title: "Inventory unavailable",
		Status: http.StatusServiceUnavailable, Detail: "The stock cannot be read or changed right now.",
	}
}
