package transport_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

type order struct {
	ID    string         `json:"id"`
	Count int            `json:"count"`
	Tags  []string       `json:"tags"`
	Sub   *order         `json:"sub"`
	Any   map[string]any `json:"any"`

	Price  float64         `json:"price,omitempty"`
	Quoted int             `json:"quoted,string"`
	Raw    json.RawMessage `json:"raw"`
	Since  time.Time       `json:"since"`
	partial
}

// partial is laid open in order.
type partial struct {
	Part string `json:"part"`
}

// members returns n members of an object.
func members(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return strings.Join(all, ",")
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
		"unknown member":     {body: `{"cost":1}`, status: 400, detail: `unknown member "cost"`},
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
		"encoded as it is":   {body: `{}`, header: map[string]string{"Content-Encoding": "identity"}},
		"byte order mark":    {body: "\ufeff{}", status: 400, detail: "not JSON at byte 1"},
		"pair of surrogates": {body: `{"id":"\ud83d\ude00"}`},
		"first half":         {body: `{"id":"\ud83dx"}`, status: 400, detail: "half of a surrogate pair"},
		"second half":        {body: `{"id":"\ude00"}`, status: 400, detail: "half of a surrogate pair"},
		"halves reversed":    {body: `{"id":"\ude00\ud83d"}`, status: 400, detail: "half of a surrogate pair"},
		"half in a name":     {body: `{"any":{"\ud83d":1}}`, status: 400, detail: "half of a surrogate pair"},
		"escaped backslash":  {body: `{"id":"\\ud83d"}`},
		"twice by escape":    {body: `{"id":"a","\u0069d":"b"}`, status: 400, detail: "stands twice"},
		"twice by long s":    {body: `{"tags":[],"tagſ":[]}`, status: 400, detail: "stands twice"},
		"twice in a map":     {body: `{"any":{"k":1,"k":2}}`, status: 400, detail: `"k" stands twice`},
		"twice in raw":       {body: `{"raw":[{"k":1,"K":2}]}`, status: 400, detail: `"K" stands twice`},
		"twice among many":   {body: `{"any":{` + members(40) + `,"m39":0}}`, status: 400, detail: `"m39" stands twice`},
		"many":               {body: `{"any":{` + members(40) + `}}`},
		"null":               {body: ` null `, status: 400, detail: "the body: got a JSON null, want an object"},
		"null member":        {body: `{"id":null,"sub":null,"any":null,"part":null}`},
		"not a number":       {body: `{"price":NaN}`, status: 400, detail: "not JSON"},
		"infinite":           {body: `{"price":1e400}`, status: 400, detail: "price: got a JSON number 1e400, want a number in range"},
		"infinite in any":    {body: `{"any":{"x":1e400}}`, status: 400},
		"embedded":           {body: `{"part":"x"}`},
		"embedded, unknown":  {body: `{"partial":{"part":"x"}}`, status: 400, detail: `unknown member "partial"`},
		"number in a string": {body: `{"quoted":"7"}`},
		"not the quoted":     {body: `{"quoted":"x"}`, status: 400, detail: ""},
		"bad text":           {body: `{"since":"yesterday"}`, status: 400, detail: "the body is not valid"},
		"long unknown":       {body: `{"` + strings.Repeat("x", 1000) + `":1}`, status: 400, detail: "unknown member"},
		"long number":        {body: `{"count":` + strings.Repeat("9", 1000) + `}`, status: 400, detail: "count"},
		"long bad text":      {body: `{"since":"` + strings.Repeat("x", 1000) + `"}`, status: 400},
		"comma":              {body: `{"id":"a",}`, status: 400, detail: "not JSON"},
		"closed too often":   {body: `{}}`, status: 400, detail: "goes on"},
		"closed at once":     {body: `]`, status: 400, detail: "not JSON"},
		"open string":        {body: `{"id":"a`, status: 400, detail: "ends in the middle"},
		"open escape":        {body: `{"id":"\u12`, status: 400, detail: "ends in the middle"},
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
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || len(p.Detail) > 200 {
				t.Errorf("answered %q %q, want a short detail that is not sniffed", w.Header(), p.Detail)
			}
			if strings.Contains(p.Detail, "order") || strings.Contains(p.Detail, "Go ") {
				t.Errorf("detail %q names the program's types", p.Detail)
			}
		})
	}
}

// What cannot be decoded into is the program's fault, and the client learns
// nothing of it.
func TestDecodeJSONIntoNothing(t *testing.T) {
	for name, v := range map[string]any{"nil": nil, "no pointer": order{}, "nil pointer": (*order)(nil)} {
		w := httptest.NewRecorder()
		err := transport.DecodeJSON(w, httptest.NewRequest("POST", "/", strings.NewReader("{}")), v)
		if _, refused := errors.AsType[*transport.BodyError](err); err == nil || refused || w.Code != 500 || strings.Contains(w.Body.String(), "Unmarshal") {
			t.Errorf("%s: answered %d %s with %v, want a bare 500", name, w.Code, w.Body, err)
		}
	}
}

// A body that breaks off is never taken for a whole one, and its connection is
// not used again.
func TestDecodeJSONOfABrokenBody(t *testing.T) {
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("{}"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	w := httptest.NewRecorder()
	var v order
	err := transport.DecodeJSON(w, r, &v)
	if !errors.Is(err, io.ErrUnexpectedEOF) || w.Code != 400 || w.Header().Get("Connection") != "close" {
		t.Errorf("answered %d %v with %v, want 400 and the connection closed", w.Code, w.Header(), err)
	}
}

// A body that came so slowly that the server is busy by now is refused as any
// request is: strangers are told to come back at different times.
func TestDecodeJSONOfABodyTooLate(t *testing.T) {
	for name, tc := range map[string]struct {
		attempt string
		want    []string
	}{
		"foreign": {"", []string{"1", "2", "3"}},
		"gabion":  {"1", []string{"1"}},
	} {
		told := map[string]int{}
		for range 300 {
			r := httptest.NewRequest("POST", "/", iotest.ErrReader(&limit.ShedError{Reason: limit.ReasonQueueFull, RetryAfter: time.Second}))
			if tc.attempt != "" {
				r.Header.Set(transport.HeaderAttempt, tc.attempt)
			}
			w := httptest.NewRecorder()
			if err := transport.DecodeJSON(w, r, &order{}); !errors.Is(err, limit.ErrShed) || w.Code != 503 {
				t.Fatalf("answered %d with %v, want 503", w.Code, err)
			}
			told[w.Header().Get("Retry-After")]++
		}
		if got := slices.Sorted(maps.Keys(told)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: callers are told %v, want each of %v", name, told, tc.want)
		}
	}
}

func TestDecodeJSONTellsWhichEncoding(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	r.Header.Set("Content-Encoding", "gzip")
	w := httptest.NewRecorder()
	if err := transport.DecodeJSON(w, r, &order{}); err == nil || w.Header().Get("Accept-Encoding") != "identity" {
		t.Errorf("answered %v with %v, want what encoding is accepted", w.Header(), err)
	}
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
