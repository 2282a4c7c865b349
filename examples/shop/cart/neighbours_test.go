package cart

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// answering is a client whose every request gets this answer. It keeps the
// last request.
type answering struct {
	status int
	body   string
	err    error
	asked  string // method, URL, key, body
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	a.asked = strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("Idempotency-Key"), string(body)}, " ")
	if a.err != nil {
		return nil, a.err
	}
	w := httptest.NewRecorder()
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
	return w.Result(), nil
}

var twoMugs = []Line{{"mug", 2}}

// sameError compares sentinels by identity and errors of a type of their own by
// that type.
func sameError(got, want error) bool {
	typed := want != nil && reflect.TypeOf(want) != reflect.TypeOf(errGarbage)
	return errors.Is(got, want) || typed && reflect.TypeOf(got) == reflect.TypeOf(want)
}

func TestQuote(t *testing.T) {
	const good = `{"lines":[{"product":"mug","quantity":2,"unit":{"amount":50,"currency":"EUR"},"total":{"amount":100,"currency":"EUR"}}],"total":{"amount":100,"currency":"EUR"}}`
	for name, tc := range map[string]struct {
		answer answering
		want   error
	}{
		"good":          {answering{status: 200, body: good}, nil},
		"unknown":       {answering{status: 422, body: `{"type":"/problems/unknown-product","product":"mug"}`}, &UnknownProductError{}},
		"down":          {answering{err: errors.New("refused")}, &UnavailableError{}},
		"sick":          {answering{status: 500}, &UnavailableError{}},
		"busy":          {answering{status: 429}, &UnavailableError{}},
		"garbage":       {answering{status: 200, body: `<html>`}, &UnavailableError{}},
		"other lines":   {answering{status: 200, body: strings.Replace(good, `"quantity":2`, `"quantity":1`, 1)}, &UnavailableError{}},
		"no currency":   {answering{status: 200, body: strings.ReplaceAll(good, "EUR", "")}, &UnavailableError{}},
		"negative":      {answering{status: 200, body: strings.ReplaceAll(good, "100", "-100")}, &UnavailableError{}},
		"empty problem": {answering{status: 422}, &UnavailableError{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewPricing(&http.Client{Transport: &tc.answer}).Quote(t.Context(), "k1", twoMugs)
			if !sameError(err, tc.want) {
				t.Fatalf("got %v, want %T", err, tc.want)
			}
			if err == nil && got != kit.Euros(100) {
				t.Errorf("got %v", got)
			}
			if want := `POST http://pricing/v1/quote k1 {"lines":[{"product":"mug","quantity":2}]}`; tc.answer.asked != want {
				t.Errorf("asked %s, want %s", tc.answer.asked, want)
			}
		})
	}
}

func TestReserve(t *testing.T) {
	const good = `{"order":"G-1","cart":"c1","key":"k1","lines":[{"product":"pot","quantity":1}],"total":{"amount":70,"currency":"EUR"},"created":"2026-01-02T03:04:05Z"}`
	for name, tc := range map[string]struct {
		answer  answering
		created bool
		want    error
	}{
		"made":       {answering{status: 201, body: good}, true, nil},
		"repeated":   {answering{status: 200, body: good}, false, nil},
		"shortage":   {answering{status: 409, body: `{"type":"/problems/insufficient-stock","product":"mug","available":1}`}, false, &ShortageError{}},
		"unknown":    {answering{status: 422, body: `{"type":"/problems/unknown-product","product":"mug"}`}, false, &UnknownProductError{}},
		"nothing":    {answering{status: 422, body: `{"type":"/problems/nothing-to-reserve"}`}, false, ErrEmpty},
		"ordered":    {answering{status: 409, body: `{"type":"/problems/already-ordered"}`}, false, ErrOrdered},
		"key reused": {answering{status: 409, body: `{"type":"/problems/key-reused"}`}, false, ErrKeyReused},
		"conflict":   {answering{status: 409, body: `{}`}, false, &UnavailableError{}},
		"down":       {answering{err: errors.New("refused")}, false, &UnavailableError{}},
		"sick":       {answering{status: 503}, false, &UnavailableError{}},
		"other cart": {answering{status: 201, body: strings.Replace(good, "c1", "c2", 1)}, false, &UnavailableError{}},
		"other key":  {answering{status: 201, body: strings.Replace(good, "k1", "k2", 1)}, false, &UnavailableError{}},
		"no order":   {answering{status: 201, body: `{}`}, false, &UnavailableError{}},
	} {
		t.Run(name, func(t *testing.T) {
			o, created, err := NewInventory(&http.Client{Transport: &tc.answer}).Reserve(t.Context(), "c1", "k1", twoMugs, kit.Euros(100))
			if !sameError(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if created != tc.created || err == nil && (o.ID != "G-1" || o.Total != kit.Euros(70) || o.Lines[0] != Line{"pot", 1}) {
				t.Errorf("got %+v, %v, want what the inventory has", o, created)
			}
			if want := `POST http://inventory/v1/reservations k1 {"cart":"c1","key":"k1","lines":[{"product":"mug","quantity":2}],"total":{"amount":100,"currency":"EUR"}}`; tc.answer.asked != want {
				t.Errorf("asked %s, want %s", tc.answer.asked, want)
			}
		})
	}
}
