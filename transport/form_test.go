package transport_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport"
)

type search struct {
	Text   string        `form:"q"`
	Limit  int8          `form:"limit"`
	Offset uint          `form:"offset"`
	Price  float64       `form:"price"`
	Exact  bool          `form:"exact"`
	Within time.Duration `form:"within"`
	From   netip.Addr    `form:"from"`
	Tags   []string      `form:"tag"`
	Sizes  []int         `form:"size"`
	Stock  *int          `form:"stock"`
	Admin  bool          // not for everybody
	paging
}

type paging struct {
	Page int `form:"page"`
}

func TestDecodeQuery(t *testing.T) {
	three := 3
	for name, tc := range map[string]struct {
		query  string
		want   search
		detail string // of a 400; empty: accepted
	}{
		"nothing":            {query: "", want: search{Limit: 20}},
		"everything":         {query: "q=a+b%26&limit=5&offset=7&price=1.5&exact=true&within=250ms&from=10.0.0.1&tag=x&tag=&size=1&size=2&stock=3&page=2", want: search{Text: "a b&", Limit: 5, Offset: 7, Price: 1.5, Exact: true, Within: 250 * time.Millisecond, From: netip.MustParseAddr("10.0.0.1"), Tags: []string{"x", ""}, Sizes: []int{1, 2}, Stock: &three, paging: paging{2}}},
		"without a value":    {query: "q", want: search{Limit: 20}},
		"nothing between":    {query: "&&q=a&", want: search{Text: "a", Limit: 20}},
		"unknown":            {query: "limits=1", detail: `unknown parameter "limits"`},
		"untagged":           {query: "Admin=true", detail: `unknown parameter "Admin"`},
		"another case":       {query: "Q=a", detail: `unknown parameter "Q"`},
		"no name":            {query: "=a", detail: `unknown parameter ""`},
		"twice":              {query: "q=a&q=b", detail: `parameter "q" stands twice`},
		"an index":           {query: "size[999999999]=1", detail: "unknown parameter"},
		"a path":             {query: "tag.0.0.0=1", detail: "unknown parameter"},
		"semicolon":          {query: "q=a;limit=2", detail: "separated by"},
		"bad escape":         {query: "q=%zz", detail: "bad % escape"},
		"cut escape":         {query: "q=%2", detail: "bad % escape"},
		"bad UTF-8":          {query: "q=%ff", detail: "UTF-8"},
		"bad UTF-8 name":     {query: "%ff=1", detail: "UTF-8"},
		"no number":          {query: "limit=x", detail: "limit: want a whole number"},
		"empty number":       {query: "limit=", detail: "limit: want a whole number"},
		"too large":          {query: "limit=128", detail: "limit: want a whole number in range"},
		"hex":                {query: "limit=0x10", detail: "limit"},
		"negative":           {query: "offset=-1", detail: "offset: want a whole number in range, not negative"},
		"not a number":       {query: "price=NaN", detail: "price: want a number"},
		"infinite":           {query: "price=Inf", detail: "price: want a number"},
		"overflow":           {query: "price=1e400", detail: "price: want a number in range"},
		"no boolean":         {query: "exact=maybe", detail: "exact: want a boolean"},
		"no duration":        {query: "within=250", detail: "within: want a duration"},
		"no address":         {query: "from=%3Cscript%3E", detail: "from: not valid"},
		"no number in slice": {query: "size=1&size=x", detail: "size: want a whole number"},
		"no stock":           {query: "stock=x", detail: "stock: want a whole number"},
		"too many":           {query: strings.Repeat("tag=x&", 10_000) + "admin=true", detail: "more than 1000 parameters"},
		"just one too many":  {query: strings.Repeat("tag=x&", 1000) + "tag=y", detail: "more than 1000 parameters"},
		"long name":          {query: strings.Repeat("x", 5000) + "=1", detail: "unknown parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.RawQuery = tc.query
			w := httptest.NewRecorder()
			got := search{Limit: 20}
			checkDecoded(t, w, transport.DecodeQuery(w, r, &got), tc.detail)
			if tc.detail == "" && !reflect.DeepEqual(got, tc.want) || tc.detail != "" && !reflect.DeepEqual(got, search{Limit: 20}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// checkDecoded checks the answer to a request that was accepted if detail is
// empty, and refused as 400 for that reason otherwise.
func checkDecoded(t *testing.T, w *httptest.ResponseRecorder, err error, detail string) {
	t.Helper()
	if detail == "" {
		if err != nil {
			t.Errorf("got %v, want it accepted", err)
		}
		return
	}
	var p transport.Problem
	if jerr := json.Unmarshal(w.Body.Bytes(), &p); jerr != nil {
		t.Fatalf("answer %q: %v", w.Body, jerr)
	}
	e, ok := errors.AsType[*transport.BodyError](err)
	if !ok || e.Status != 400 || w.Code != 400 || !strings.Contains(p.Detail, detail) || len(p.Detail) > 200 {
		t.Errorf("answered %d %+v with %v, want 400 with %q", w.Code, p, err, detail)
	}
	h := w.Header()
	if h.Get("Content-Type") != "application/problem+json" || h.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(w.Body.String(), "<script>") {
		t.Errorf("answered %v %s, want a problem that nobody takes for a page", h, w.Body)
	}
}

func TestDecodeForm(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, tc := range map[string]struct {
		contentType, encoding, body string
		status                      int // 0: accepted
	}{
		"form":             {contentType: form, body: "q=a&tag=x&tag=y"},
		"in UTF-8":         {contentType: form + "; charset=UTF-8", body: "q=a&tag=x&tag=y"},
		"in Latin 1":       {contentType: form + "; charset=latin1", body: "q=a", status: 415},
		"without a type":   {body: "q=a", status: 415},
		"JSON":             {contentType: "application/json", body: "{}", status: 415},
		"multipart":        {contentType: "multipart/form-data; boundary=x", body: "", status: 415},
		"compressed":       {contentType: form, encoding: "gzip", body: "q=a", status: 415},
		"bad":              {contentType: form, body: "q=%zz", status: 400},
		"too large":        {contentType: form, body: "q=" + strings.Repeat("a", transport.MaxFormBytes), status: 413},
		"only in the body": {contentType: form, body: "limit=1", status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/?limit=7", strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.contentType)
			r.Header.Set("Content-Encoding", tc.encoding)
			w := httptest.NewRecorder()
			var v struct {
				Text string   `form:"q"`
				Tags []string `form:"tag"`
			}
			err := transport.DecodeForm(w, r, &v)
			if tc.status == 0 {
				if err != nil || v.Text != "a" || fmt.Sprint(v.Tags) != "[x y]" {
					t.Errorf("got %+v, %v", v, err)
				}
				return
			}
			if e, ok := errors.AsType[*transport.BodyError](err); !ok || e.Status != tc.status || w.Code != tc.status {
				t.Errorf("answered %d with %v, want %d", w.Code, err, tc.status)
			}
		})
	}
}

// What no parameter can go to is the program's fault, whatever the request.
func TestDecodeQueryIntoNothing(t *testing.T) {
	type inner struct {
		A int `form:"a"`
	}
	for name, v := range map[string]any{
		"nil": nil, "no pointer": search{}, "nil pointer": (*search)(nil), "no struct": new(int),
		"channel": &struct {
			A chan int `form:"a"`
		}{},
		"map": &struct {
			A map[string]string `form:"a"`
		}{},
		"slices of slices": &struct {
			A [][]int `form:"a"`
		}{},
		"struct": &struct {
			A inner `form:"a"`
		}{},
		"embedded pointer": &struct{ *inner }{},
		"unexported": &struct {
			a int `form:"a"`
		}{},
		"one name twice": &struct {
			A int `form:"a"`
			B int `form:"a"`
		}{},
	} {
		w := httptest.NewRecorder()
		err := transport.DecodeQuery(w, httptest.NewRequest("GET", "/", nil), v)
		if _, refused := errors.AsType[*transport.BodyError](err); err == nil || refused || w.Code != 500 {
			t.Errorf("%s: answered %d with %v, want 500", name, w.Code, err)
		}
	}
}

// FuzzDecodeQuery holds that what is accepted is just what net/url reads, and
// nothing is left out.
func FuzzDecodeQuery(f *testing.F) {
	for _, s := range []string{"", "q=a&tag=b&tag=c", "a=1;b=2", "%zz", "tag[999999999]=1", "q=%ff", "limit=1&limit=2", "&=&", "from=::1", "within=1h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: "GET", URL: &url.URL{RawQuery: query}}
		var v search
		w := httptest.NewRecorder()
		if err := transport.DecodeQuery(w, r, &v); err != nil {
			if e, ok := errors.AsType[*transport.BodyError](err); !ok || e.Status != 400 || w.Code != 400 {
				t.Fatalf("%q: %v is not a 400", query, err)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q is accepted, which is %v", query, err)
		}
		if v.Text != values.Get("q") || len(v.Tags) != len(values["tag"]) || len(v.Sizes) != len(values["size"]) || (v.Stock != nil) != values.Has("stock") || v.Admin {
			t.Fatalf("%q is read as %+v", query, v)
		}
	})
}
