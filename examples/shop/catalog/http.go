package catalog

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/gabion-go/gabion/transport"
)

// productJSON is a [Product] on the wire.
type productJSON struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Category    string `json:"category"`
	Image       string `json:"image"`
}

type productsJSON struct {
	Products []productJSON `json:"products"`
}

type handler struct {
	store Store
	log   *slog.Logger
}

// Routes returns the service's public API by [http.ServeMux] pattern:
//
//	GET /v1/products                       {"products":[...]}
//	GET /v1/products/{id}                  one product
//	GET /v1/products/{id}/recommendations  {"products":[...]}, at most four
func Routes(store Store, log *slog.Logger) map[string]http.HandlerFunc {
	h := &handler{store, log}
	return map[string]http.HandlerFunc{
		"GET /v1/products":                      h.list,
		"GET /v1/products/{id}":                 h.one,
		"GET /v1/products/{id}/recommendations": h.recommendations,
	}
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	all, err := h.store.Products(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, toJSON(all))
}

func (h *handler) one(w http.ResponseWriter, r *http.Request) {
	p, err := h.store.Product(r.Context(), r.PathValue("id"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, productJSON(p))
}

func (h *handler) recommendations(w http.ResponseWriter, r *http.Request) {
	p, err := h.store.Product(r.Context(), r.PathValue("id"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	all, err := h.store.Products(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, toJSON(Recommend(all, p)))
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrNotFound) {
		transport.WriteProblem(w, r, transport.Problem{
			Type: "/problems/unknown-product", Title: "Unknown product", Status: http.StatusNotFound,
			Detail: "The shop has no product of this name.",
		})
		return
	}
	if r.Context().Err() == nil {
		h.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	// The store failed; another replica may do better, and 503 says so.
	transport.WriteProblem(w, r, transport.Problem{
		Type: "/problems/catalog-unavailable", Title: "Catalog unavailable",
		Status: http.StatusServiceUnavailable, Detail: "The products cannot be read right now.",
	})
}

func toJSON(products []Product) productsJSON {
	out := make([]productJSON, 0, len(products))
	for _, p := range products {
		out = append(out, productJSON(p))
	}
	return productsJSON{out}
}
