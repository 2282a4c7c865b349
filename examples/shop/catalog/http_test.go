package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// shelf is a Store in memory; err, when set, is all it answers.
type shelf struct {
	products []Product
	err      error
}

func (s shelf) Products(context.Context) ([]Product, error) { return s.products, s.err }

func (s shelf) Product(_ context.Context, id string) (Product, error) {
	for _, p := range s.products {
		if p.ID == id {
			return p, s.err
		}
	}
	return Product{}, errors.Join(s.err, ErrNotFound)
}

func get(t *testing.T, store Store, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range Routes(store, slog.New(slog.DiscardHandler)) {
		mux.Handle(pattern, h)
	}
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
	return rec
}

func TestList(t *testing.T) {
	var got productsJSON
	rec := get(t, shelf{products: Seed()}, "/v1/products")
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 || len(got.Products) != len(Seed()) {
		t.Fatalf("got %d with %d products, %v", rec.Code, len(got.Products), err)
	}
	if p := got.Products[0]; p.ID != "enamel-mug" || p.Category != "Kitchen" || !strings.HasPrefix(p.Image, "<svg") {
		t.Errorf("got %+v", p)
	}
	if rec := get(t, shelf{}, "/v1/products"); !strings.Contains(rec.Body.String(), `"products":[]`) {
		t.Errorf("an empty catalog reads %s", rec.Body)
	}
}

func TestOneAndRecommendations(t *testing.T) {
	var one productJSON
	rec := get(t, shelf{products: Seed()}, "/v1/products/oak-stool")
	if err := json.Unmarshal(rec.Body.Bytes(), &one); err != nil || one.Name != "Oak stool" {
		t.Errorf("got %d %+v, %v", rec.Code, one, err)
	}
	var more productsJSON
	rec = get(t, shelf{products: Seed()}, "/v1/products/oak-stool/recommendations")
	if err := json.Unmarshal(rec.Body.Bytes(), &more); err != nil || len(more.Products) != maxRecommended {
		t.Errorf("got %d %+v, %v", rec.Code, more, err)
	}
}

func TestErrorsSayNothingOfTheInside(t *testing.T) {
	broken := shelf{products: Seed(), err: errors.New("disk /var/secret failed")}
	for _, c := range []struct {
		store  Store
		path   string
		status int
	}{
		{shelf{}, "/v1/products/nope", 404},
		{shelf{}, "/v1/products/nope/recommendations", 404},
		{broken, "/v1/products", 503},
		{broken, "/v1/products/oak-stool", 503},
		{broken, "/v1/products/oak-stool/recommendations", 503},
	} {
		rec := get(t, c.store, c.path)
		if rec.Code != c.status || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s, want %d and a problem", c.path, rec.Code, rec.Header().Get("Content-Type"), c.status)
		}
		if strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s tells the inside: %s", c.path, rec.Body)
		}
	}
}
