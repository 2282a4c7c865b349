package cors_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/cors"
)

// Whatever JSON says, the settings survive being written, and they are refused or
// let nobody else's page read a response.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"origins":["https://shop.example","http://localhost:8080"],"methods":["PUT"],"headers":["X-A"],"exposed":["X-B"],"credentials":true,"max_age":"1h"}`))
	f.Add([]byte(`{"origins":["*"],"headers":["*"],"max_age":"-1s"}`))
	f.Add([]byte(`{"origins":["*"],"credentials":true}`))
	f.Add([]byte(`{"origins":["https://*.example","null","https://shop.example/","https://evil.example"]}`))
	f.Add([]byte(`{"origins":[],"methods":[""],"headers":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, back cors.Settings
		if json.Unmarshal(data, &s) != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v written as %s reads as %+v, %v", s, out, back, err)
		}
		h, err := cors.Handler(http.NotFoundHandler(), s)
		if (err == nil) != (s.Validate() == nil) {
			t.Fatalf("Handler: %v, Validate: %v", err, s.Validate())
		}
		if err != nil {
			return
		}
		all := slices.Equal(s.Origins, []string{"*"})
		if all && s.Credentials {
			t.Fatalf("%s: every page may act as its user", data)
		}
		for _, origin := range append([]string{"https://stranger.example", "null"}, s.Origins...) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Method = s.WithDefaults().Methods[0]
			r.Header.Set("Origin", origin)
			h.ServeHTTP(w, r)
			want := ""
			switch {
			case all:
				want = "*"
			case slices.Contains(s.Origins, origin):
				want = origin
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s: pages of %q are told %q, want %q", data, origin, got, want)
			}
		}
	})
}
