package pricing

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	for pattern, h := range Routes(list, func() time.Time { return at("12:00:00") }) {
		mux.Handle(pattern, h)
	}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string // in the answer
	}{
		"all prices":     {"GET", "/v1/prices", "", 200, `{"product":"mug","price":{"amount":1450,"currency":"EUR"}}`},
		"one price":      {"GET", "/v1/prices/mug", "", 200, `{"product":"mug","price":{"amount":1450,"currency":"EUR"}}`},
		"no such price":  {"GET", "/v1/prices/anvil", "", 404, `"/problems/unknown-product"`},
		"quote":          {"POST", "/v1/quote", `{"lines":[{"product":"mug","quantity":2}]}`, 200, `{"lines":[{"product":"mug","quantity":2,"unit":{"amount":1450,"currency":"EUR"},"total":{"amount":2900,"currency":"EUR"}}],"total":{"amount":2900,"currency":"EUR"}}`},
		"unknown line":   {"POST", "/v1/quote", `{"lines":[{"product":"anvil","quantity":2}]}`, 422, `"product":"anvil"`},
		"no lines":       {"POST", "/v1/quote", `{"lines":[]}`, 422, `want 1 to 100 lines`},
		"unknown member": {"POST", "/v1/quote", `{"lines":[],"coupon":"x"}`, 400, `coupon`},
		"wrong type":     {"POST", "/v1/quote", `{"lines":[{"product":"mug","quantity":"2"}]}`, 400, `quantity`},
		"a fraction":     {"POST", "/v1/quote", `{"lines":[{"product":"mug","quantity":1.5}]}`, 400, `quantity`},
		"not JSON":       {"POST", "/v1/quote", `lines=mug`, 400, `not JSON`},
		"empty":          {"POST", "/v1/quote", ``, 400, `empty`},
		"too large":      {"POST", "/v1/quote", strings.Repeat(" ", 5<<20), 413, `larger`},
		"wrong method":   {"GET", "/v1/quote", ``, 405, ``},
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			mux.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d %s", rec.Code, rec.Body, c.status, c.want)
			}
		})
	}
}
