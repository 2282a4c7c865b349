package transport_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

type order struct {
	ID    string         `json:"id"`
	Count int            `json:"count"`
	Tags  []string       `json:"tags"`
	Sub   *order         `json:"sub"`
	Any   map[string]any `json:"any"`
}

func TestDecodeJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		header map[string]string
		status int    // 0: accepted
		detail string // a part of it
	}{
		"plain":              {body: `{"id":"a","count":2,"tags":["x"],"sub":{"id":"b"}}`},
		"space around":       {body: " \n{\"id\":\"a\"}\t\n"},
		"json suffix":        {body: `{}`, header: map[string]string{"Content-Type": "application/merge-patch+json; charset=UTF-8"}},
		"same name in depth": {body: `{"id":"a","sub":{"id":"b","sub":{"id":"c"}}}`},
		"empty":              {body: "", status: 400, detail: "empty"},
		"only space":         {body: " \n ", status: 400, detail: "empty"},
		"two values":         {body: `{} {}`, status: 400, detail: "goes on"},
		"rest":               {body: `{}x`, status: 400},
		"cut":                {body: `{"id":"a"`, status: 400, detail: "ends in the middle"},
		"not JSON":           {body: `id=a`, status: 400, detail: "not JSON"},
		"unknown member":     {body: `{"price":1}`, status: 400, detail: `unknown member "price"`},
		"twice":              {body: `{"id":"a","id":"b"}`, status: 400, detail: `"id" stands twice`},
		"twice by case":      {body: `{"id":"a","ID":"b"}`, status: 400, detail: "stands twice"},
		"twice in depth":     {body: `{"any":{"k":[{"x":1,"x":2}]}}`, status: 400, detail: "stands twice"},
		"wrong type":         {body: `{"count":"two"}`, status: 400, detail: "count: got a JSON string, want a whole number"},
		"fraction":           {body: `{"count":1.5}`, status: 400, detail: "count"},
		"too large a number": {body: `{"count":99999999999999999999}`, status: 400, detail: "count"},
		"not an object":      {body: `[1]`, status: 400, detail: "the body: got a JSON array, want an object"},
		"bad UTF-8":          {body: "{\"id\":\"\xff\"}", status: 400, detail: "UTF-8"},
		"too deep":           {body: `{"any":{"k":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}`, status: 400, detail: "deeper"},
		"deep enough":        {body: `{"any":{"k":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}}`},
		"too large":          {body: `{"id":"` + strings.Repeat("a", transport.MaxJSONBytes) + `"}`, status: 413, detail: "larger"},
		"form":               {body: `{}`, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415},
		"other charset":      {body: `{}`, header: map[string]string{"Content-Type": "application/json; charset=latin1"}, status: 415},
		"compressed":         {body: `{}`, header: map[string]string{"Content-Encoding": "gzip"}, status: 415},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(tc.body))
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			var v order
			err := transport.DecodeJSON(w, r, &v)
			if tc.status == 0 {
				if err != nil {
					t.Fatalf("got %v, want it accepted", err)
				}
				return
			}
			e, ok := errors.AsType[*transport.BodyError](err)
			if !ok || e.Status != tc.status || !strings.Contains(e.Detail, tc.detail) {
				t.Fatalf("got error %v, want status %d with %q", err, tc.status, tc.detail)
			}
			var p transport.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("answer %q: %v", w.Body, err)
			}
			if w.Code != tc.status || p.Status != tc.status || p.Detail != e.Detail || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("answered %d %q %+v, want %d as problem+json with the detail", w.Code, w.Header(), p, tc.status)
			}
			if strings.Contains(p.Detail, "order") || strings.Contains(p.Detail, "Go ") {
				t.Errorf("detail %q names the program's types", p.Detail)
			}
		})
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"id":"a"}`, `{"a":1,"a":2}`, `[[[]]]`, `{"any":{"x":{}}}`, "", "\xff", `"\ud800"`, `1 2`, `{"id":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v order
		err := transport.StrictJSON(data, &v)
		if err != nil {
			if e, ok := errors.AsType[*transport.BodyError](err); !ok || e.Status/100 != 4 {
				t.Fatalf("error %v is not a 4xx BodyError", err)
			}
			return
		}
		// What was accepted is one valid value without a member in doubt.
		if !json.Valid(data) {
			t.Fatalf("accepted %q, which is not valid", data)
		}
	})
}

func TestProblem(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "9")
	w.Header().Set("Etag", "x")
	transport.WriteProblem(w, httptest.NewRequest("GET", "/", nil), transport.Problem{
		Status: 409, Type: "/problems/stock", Detail: "only 2 left <b>", Extra: map[string]any{"available": 2, "status": 1},
	})
	if w.Code != 409 || w.Header().Get("Content-Length") != "" || w.Header().Get("Etag") != "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("body %s carries markup as it came", w.Body)
	}
	var p transport.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != 409 || p.Title != "Conflict" || p.Type != "/problems/stock" || p.Detail != "only 2 left <b>" || p.Extra["available"] != 2.0 {
		t.Errorf("read back %+v", p)
	}
}

func TestWriteJSONOfWhatCannotBe(t *testing.T) {
	w := httptest.NewRecorder()
	if err := transport.WriteJSON(w, http.StatusOK, func() {}); err == nil {
		t.Error("got no error")
	}
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %v, want a 500 problem", w.Code, w.Header())
	}
}
