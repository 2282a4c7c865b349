package pricing

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

type priceJSON struct {
	Product string    `json:"product"`
	Price   kit.Money `json:"price"`
}

type pricesJSON struct {
	Prices []priceJSON `json:"prices"`
}

type lineJSON struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

type askJSON struct {
	Lines []lineJSON `json:"lines"`
}

type pricedLineJSON struct {
	Product  string    `json:"product"`
	Quantity int       `json:"quantity"`
	Unit     kit.Money `json:"unit"`
	Total    kit.Money `json:"total"`
}

type quoteJSON struct {
	Lines []pricedLineJSON `json:"lines"`
	Total kit.Money        `json:"total"`
}

type handler struct {
	list *List
	now  func() time.Time
}

// Routes returns the service's public API by [http.ServeMux] pattern. now is
// the clock the rules go by.
//
//	GET  /v1/prices            {"prices":[{"product","price":{"amount","currency"}}]}
//	GET  /v1/prices/{product}  one of them
//	POST /v1/quote             {"lines":[{"product","quantity"}]} ->
//	                           {"lines":[{"product","quantity","unit","total"}],"total"}
//
// A quote changes nothing; callers may repeat it as they like.
func Routes(list *List, now func() time.Time) map[string]http.HandlerFunc {
	h := &handler{list, now}
	return map[string]http.HandlerFunc{
		"GET /v1/prices":           h.prices,
		"GET /v1/prices/{product}": h.price,
		"POST /v1/quote":           h.quote,
	}
}

func (h *handler) prices(w http.ResponseWriter, _ *http.Request) {
	prices := h.list.Prices(h.now())
	out := pricesJSON{make([]priceJSON, 0, len(prices))}
	for _, p := range prices {
		out.Prices = append(out.Prices, priceJSON{p.Product, p.Unit})
	}
	_ = transport.WriteJSON(w, http.StatusOK, out)
}

func (h *handler) price(w http.ResponseWriter, r *http.Request) {
	p, err := h.list.Price(r.PathValue("product"), h.now())
	if err != nil {
		fail(w, r, http.StatusNotFound, err)
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, priceJSON{p.Product, p.Unit})
}

func (h *handler) quote(w http.ResponseWriter, r *http.Request) {
	var ask askJSON
	if err := transport.DecodeJSON(w, r, &ask); err != nil {
		return // answered
	}
	lines := make([]Line, 0, len(ask.Lines))
	for _, l := range ask.Lines {
		lines = append(lines, Line(l))
	}
	q, err := h.list.Quote(lines, h.now())
	if err != nil {
		fail(w, r, http.StatusUnprocessableEntity, err)
		return
	}
	out := quoteJSON{Lines: make([]pricedLineJSON, 0, len(q.Lines)), Total: q.Total}
	for _, l := range q.Lines {
		out.Lines = append(out.Lines, pricedLineJSON{l.Product, l.Quantity, l.Unit, l.Total})
	}
	_ = transport.WriteJSON(w, http.StatusOK, out)
}

// fail answers with an error of the domain, all of which are the caller's.
// unknown is the status when a product is not on the list.
func fail(w http.ResponseWriter, r *http.Request, unknown int, err error) {
	if e, ok := errors.AsType[*UnknownProductError](err); ok {
		transport.WriteProblem(w, r, transport.Problem{
			Type: "/problems/unknown-product", Title: "Unknown product", Status: unknown,
			Detail: "There is no price for this product.",
			Extra:  map[string]any{"product": e.Product},
		})
		return
	}
	transport.WriteProblem(w, r, transport.Problem{
		Type: "/problems/bad-quote", Title: "Lines that cannot be priced",
		Status: http.StatusUnprocessableEntity,
		Detail: strings.TrimPrefix(err.Error(), ErrBadQuote.Error()+": "),
	})
}
