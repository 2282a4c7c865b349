package cors_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/cors"
)

func handler(t *testing.T, s cors.Settings) http.Handler {
	t.Helper()
	h, err := cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "Accept")
		fmt.Fprint(w, "served")
	}), s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestOrigins(t *testing.T) {
	h := handler(t, cors.Settings{Origins: []string{"https://example.com", "http://localhost:8080"}, Credentials: true, Exposed: []string{"x-request-id"}})
	for origin, allowed := range map[string]bool{
		"https://example.com":               true,
		"http://localhost:8080":             true,
		"http://example.com":                false,
		"https://example.com:8443":          false,
		"https://example.com:443":           false,
		"https://evil-example.com":          false,
		"https://evilexample.com":           false,
		"https://example.com.evil":          false,
		"https://example.com.evil.example":  false,
		"https://sub.example.com":           false,
		"https://example.com/":              false,
		"https://EXAMPLE.com":               false,
		"https://example.com@evil":          false,
		"https://example.com https://evil":  false,
		"https://evil, https://example.com": false,
		"https://example.co":                false,
		"https://examplexcom":               false,
		"example.com":                       false,
		"//example.com":                     false,
		"null":                              false,
		"*":                                 false,
		"":                                  false,
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := httptest.NewRequest(method, "/", nil)
			r.Header.Set("Origin", origin)
			if method == "OPTIONS" {
				r.Header.Set("Access-Control-Request-Method", "POST")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got, credentials := w.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("Access-Control-Allow-Credentials")
			if allowed && (got != origin || credentials != "true") || !allowed && got+credentials != "" {
				t.Errorf("%s from %q: answered %v, want allowed %v", method, origin, w.Header(), allowed)
			}
			if !strings.Contains(strings.Join(w.Header()["Vary"], ","), "Origin") {
				t.Errorf("%s from %q: Vary %q does not name Origin", method, origin, w.Header()["Vary"])
			}
			if served := w.Body.String() == "served"; served != (method == "GET") {
				t.Errorf("%s from %q: served %v", method, origin, served)
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Origin"] = []string{"https://example.com", "https://evil.example"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header()["Access-Control-Allow-Origin"] != nil {
		t.Errorf("two origins are answered %v", w.Header())
	}
}

func TestPreflight(t *testing.T) {
	settings := cors.Settings{Origins: []string{"https://example.com"}, Methods: []string{"GET", "PUT"}, Headers: []string{"Content-Type", "X-Token"}}
	for name, tc := range map[string]struct {
		method, headers string
		allowed         bool
	}{
		"method":          {"PUT", "", true},
		"header":          {"PUT", "content-type,x-token", true},
		"another method":  {"DELETE", "", false},
		"another header":  {"PUT", "x-other", false},
		"one too many":    {"PUT", "content-type,x-other", false},
		"method in lower": {"put", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("OPTIONS", "/", nil)
			r.Header.Set("Origin", "https://example.com")
			r.Header.Set("Access-Control-Request-Method", tc.method)
			r.Header.Set("Access-Control-Request-Private-Network", "true")
			if tc.headers != "" {
				r.Header.Set("Access-Control-Request-Headers", tc.headers)
			}
			w := httptest.NewRecorder()
			handler(t, settings).ServeHTTP(w, r)
			h := w.Header()
			if w.Code != 204 || w.Body.Len() > 0 || h["Access-Control-Allow-Private-Network"] != nil || h["Access-Control-Allow-Credentials"] != nil {
				t.Errorf("answered %d %v", w.Code, h)
			}
			if !tc.allowed {
				if h["Access-Control-Allow-Origin"] != nil || h["Access-Control-Max-Age"] != nil {
					t.Errorf("answered %v, want a refusal", h)
				}
				return
			}
			if h.Get("Access-Control-Allow-Origin") != "https://example.com" || h.Get("Access-Control-Allow-Methods") != tc.method ||
				h.Get("Access-Control-Allow-Headers") != tc.headers || h.Get("Access-Control-Max-Age") != "600" {
				t.Errorf("answered %v", h)
			}
		})
	}
}

func TestMaxAge(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "600", time.Hour: "3600", -1: "0", time.Millisecond: "0"} {
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.Header.Set("Origin", "https://example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		handler(t, cors.Settings{Origins: []string{"https://example.com"}, MaxAge: age}).ServeHTTP(w, r)
		if got := w.Header().Get("Access-Control-Max-Age"); got != want {
			t.Errorf("%v: got %q, want %q", age, got, want)
		}
	}
}

func TestEveryOrigin(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Origin", "https://anywhere.example")
	w := httptest.NewRecorder()
	handler(t, cors.Settings{Origins: []string{"*"}}).ServeHTTP(w, r)
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "*" || h["Access-Control-Allow-Credentials"] != nil {
		t.Errorf("answered %v", h)
	}
}

// An OPTIONS request that is no preflight is the handler's.
func TestOptions(t *testing.T) {
	w := httptest.NewRecorder()
	handler(t, cors.Settings{Origins: []string{"*"}}).ServeHTTP(w, httptest.NewRequest("OPTIONS", "/", nil))
	if w.Body.String() != "served" {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
}

func TestSettings(t *testing.T) {
	for in, want := range map[string]string{
		`{"origins":["https://a.example","http://localhost:8080","http://[::1]:8080"],"max_age":"1h","credentials":true}`: "",
		`{"origins":["*"],"headers":["*"],"exposed":["*"]}`:                                                               "",
		`{}`:                                                                   "no origins",
		`{"origins":["*"],"credentials":true}`:                                 "with credentials",
		`{"origins":["*","https://a.example"]}`:                                "no wildcard",
		`{"origins":["https://*.example"]}`:                                    "no wildcard",
		`{"origins":["null"]}`:                                                 "sandboxed",
		`{"origins":["a.example"]}`:                                            "want scheme",
		`{"origins":["ftp://a.example"]}`:                                      "want scheme",
		`{"origins":["https://"]}`:                                             "want scheme",
		`{"origins":[""]}`:                                                     "want scheme",
		`{"origins":["https://a.example/"]}`:                                   "no slash",
		`{"origins":["https://a.example/x"]}`:                                  "nothing but",
		`{"origins":["https://user@a.example"]}`:                               "nothing but",
		`{"origins":["https://a.example:"]}`:                                   "nothing but",
		`{"origins":["https://a.example:443"]}`:                                "own port",
		`{"origins":["http://a.example:80"]}`:                                  "own port",
		`{"origins":["https://A.example"]}`:                                    "lower case",
		`{"origins":["https://ä.example"]}`:                                    "Punycode",
		`{"origins":["*"],"methods":["TRACE"]}`:                                "TRACE",
		`{"origins":["*"],"methods":["A B"]}`:                                  "A B",
		`{"origins":["*"],"headers":["X-*"]}`:                                  "X-*",
		`{"origins":["*"],"headers":[""]}`:                                     "no name",
		`{"origins":["*"],"exposed":["a:b"]}`:                                  "no name",
		`{"origins":["*"],"max_age":"25h"}`:                                    "24h",
		`{"origins":["https://a.example"],"credentials":true,"headers":["*"]}`: "name each",
		`{"origins":["https://a.example"],"credentials":true,"exposed":["*"]}`: "take it for a name",
	} {
		var s cors.Settings
		if err := json.Unmarshal([]byte(in), &s); err != nil {
			t.Fatal(err)
		}
		_, err := cors.Handler(http.NotFoundHandler(), s)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
		var again cors.Settings
		b, _ := json.Marshal(s)
		if err := json.Unmarshal(b, &again); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Errorf("%s: written as %s, %v", in, b, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"origin":"*"}`), new(cors.Settings)); err == nil {
		t.Error("a misspelt name is accepted")
	}
}
