package inventory

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

func serve(s Store) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range Routes(s, slog.New(slog.DiscardHandler)) {
		mux.Handle(pattern, h)
	}
	return mux
}

func TestHTTP(t *testing.T) {
	s := newStore(t, Stock{"mug", 10}, Stock{"pot", 3})
	kept, _, err := s.Reserve(t.Context(), request("c0", "k0", Line{"mug", 1}))
	if err != nil {
		t.Fatal(err)
	}
	body := func(cart, lines string) string {
		return `{"cart":"` + cart + `","lines":[` + lines + `],"total":{"amount":100,"currency":"EUR"}}`
	}
	mug := `{"product":"mug","quantity":1}`
	for _, c := range []struct {
		name, method, path, key, body string
		status                        int
		want                          string // in the answer
	}{
		{"all stock", "GET", "/v1/stock", "", "", 200, `{"stock":[{"product":"mug","available":9},{"product":"pot","available":3}]}`},
		{"one", "GET", "/v1/stock/pot", "", "", 200, `{"product":"pot","available":3}`},
		{"no such product", "GET", "/v1/stock/anvil", "", "", 404, ``},
		{"an order", "GET", "/v1/reservations/" + kept.Order, "", "", 200, `"cart":"c0"`},
		{"no such order", "GET", "/v1/reservations/G-0", "", "", 404, ``},
		{"made", "POST", "/v1/reservations", "k1", body("c1", mug), 201, `"order":"G-`},
		{"repeated", "POST", "/v1/reservations", "k1", body("c1", mug), 200, `"order":"G-`},
		{"another key", "POST", "/v1/reservations", "k2", body("c1", mug), 409, `"/problems/already-ordered"`},
		{"another cart", "POST", "/v1/reservations", "k1", body("c2", mug), 409, `"/problems/key-reused"`},
		{"too much", "POST", "/v1/reservations", "k2", body("c2", `{"product":"pot","quantity":4}`), 409, `"available":3,`},
		{"unknown", "POST", "/v1/reservations", "k2", body("c2", `{"product":"anvil","quantity":4}`), 422, `"product":"anvil"`},
		{"no key", "POST", "/v1/reservations", "", body("c2", mug), 400, `"/problems/idempotency-key-required"`},
		{"two keys", "POST", "/v1/reservations", "k2", `{"key":"k3","cart":"c2","lines":[` + mug + `],"total":{"amount":1,"currency":"EUR"}}`, 422, `header`},
		{"no lines", "POST", "/v1/reservations", "k2", body("c2", ""), 422, `"/problems/nothing-to-reserve"`},
		{"no lines, made before", "POST", "/v1/reservations", "k1", `{"cart":"c1"}`, 200, `"product":"mug"`},
		{"unknown member", "POST", "/v1/reservations", "k2", `{"coupon":1}`, 400, `coupon`},
		{"wrong type", "POST", "/v1/reservations", "k2", `{"cart":7}`, 400, `cart`},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			req.Header.Set("Idempotency-Key", c.key)
			rec := httptest.NewRecorder()
			serve(s).ServeHTTP(rec, req)
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d %s", rec.Code, rec.Body, c.status, c.want)
			}
		})
	}
}

// failing is a Store whose disk is gone.
type failing struct{ Store }

var errDisk = errors.New("disk /var/secret failed")

func (failing) Stock(context.Context) ([]Stock, error) { return nil, errDisk }

func (failing) Reserve(context.Context, Request) (Reservation, bool, error) {
	return Reservation{}, false, errDisk
}

func TestStoreFailureIs503WithoutInternals(t *testing.T) {
	for _, req := range []*http.Request{
		httptest.NewRequest("GET", "/v1/stock", nil),
		httptest.NewRequest("POST", "/v1/reservations", strings.NewReader(`{"total":`+`{"amount":1,"currency":"`+kit.EUR+`"}}`)),
	} {
		req.Header.Set("Idempotency-Key", "k")
		rec := httptest.NewRecorder()
		serve(failing{}).ServeHTTP(rec, req)
		if rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: got %d %s", req.URL, rec.Code, rec.Body)
		}
	}
}
