package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/health"
)

func TestHandlerForm(t *testing.T) {
	c := health.New()
	for name, h := range map[string]http.Handler{
		"live": c.LiveHandler(), "ready": c.ReadyHandler(), "startup": c.StartupHandler(),
	} {
		for method, code := range map[string]int{
			http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodOptions: 405, "BREW": 405,
		} {
			t.Run(name+" "+method, func(t *testing.T) {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(method, "/livez//..//x?verbose=%zz", http.NoBody))
				if w.Code != code {
					t.Fatalf("got %d, want %d", w.Code, code)
				}
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control: %q", got)
				}
				if code == 405 {
					if got := w.Header().Get("Allow"); got != "GET, HEAD" {
						t.Errorf("Allow: %q", got)
					}
					return
				}
				if got := w.Header().Get("Content-Type"); got != "application/health+json" {
					t.Errorf("Content-Type: %q", got)
				}
				if hasBody := w.Body.Len() > 0; hasBody != (method == http.MethodGet) {
					t.Errorf("body: %q", w.Body)
				}
				if got := w.Header().Get("Content-Length"); got != "17" {
					t.Errorf("Content-Length: %q, want 17 for HEAD as for GET", got)
				}
			})
		}
	}
}

func TestVerbose(t *testing.T) {
	c := health.New()
	add(t, c, "db", func(context.Context) error {
		return fmt.Errorf("dial %q: refused", "postgres://shop:hunter2@db.internal:5432/shop")
	})
	add(t, c, "cache", func(context.Context) error { return errors.New("cold") }, health.WithDegradeOnly(true))
	add(t, c, "loop", func(context.Context) error { return nil }, health.WithKind(health.Liveness))
	code, body := probe(c.ReadyHandler(), "/readyz?verbose")
	if code != 503 {
		t.Errorf("got %d, want 503", code)
	}
	if strings.Contains(body, "hunter2") {
		t.Errorf("password shown: %s", body)
	}
	var got struct {
		Status string
		Checks map[string][]struct {
			Status, Output, Time, ObservedUnit string
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"db": "fail", "cache": "warn", "loop": "pass"}
	for name, status := range want {
		if list := got.Checks[name]; len(list) != 1 || list[0].Status != status || list[0].Time == "" || list[0].ObservedUnit != "ms" {
			t.Errorf("check %s: got %+v, want %s", name, list, status)
		}
	}
	if out := got.Checks["db"][0].Output; !strings.Contains(out, "db.internal:5432") {
		t.Errorf("output %q lost the host", out)
	}
	if len(got.Checks) != len(want) || got.Status != "fail" {
		t.Errorf("body: %s", body)
	}
	if _, plain := probe(c.ReadyHandler(), "/readyz"); plain != `{"status":"fail"}` {
		t.Errorf("without verbose: %s", plain)
	}
	if _, live := probe(c.LiveHandler(), "/livez?verbose"); strings.Contains(live, `"db"`) {
		t.Errorf("liveness lists a readiness check: %s", live)
	}
}
