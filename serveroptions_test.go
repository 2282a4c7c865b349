package gabion_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// Options of the server reach it: here clients take turns at the one place of
// the settings, which win over the service's.
func TestServerOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := lonely(t, gabion.WithPublicHealth(true), gabion.WithServerSettings(transport.ServerSettings{Limit: limit.Settings{Min: 9, Max: 9}}), gabion.WithServerOptions(
			transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Min: 1, Max: 1}}),
			transport.WithFairness(func(r *http.Request) string { return r.RemoteAddr }),
			transport.WithExempt(func(r *http.Request) bool { return r.URL.Path == "/ping" })))
		defer func() { _ = svc.Close() }()
		var served []string
		start := time.Now()
		svc.HandleFunc("/work", func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Millisecond)
			served = append(served, r.RemoteAddr+time.Since(start).String())
		})
		svc.HandleFunc("/ping", func(http.ResponseWriter, *http.Request) {})
		serve := func(path, client string) int {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr = client
			w := httptest.NewRecorder()
			svc.Handler().ServeHTTP(w, r)
			return w.Code
		}
		for _, client := range strings.Split("hhhl", "") {
			go serve("/work", client)
			synctest.Wait()
		}
		for _, path := range []string{"/ping", "/livez"} {
			if status := serve(path, "h"); status != 200 || time.Since(start) > 0 {
				t.Errorf("%s: %d after %v, want 200 at once", path, status, time.Since(start))
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := strings.Join(served, " "); got != "h10ms h20ms l30ms h40ms" {
			t.Errorf("served %s, want one after the other and the light client in its turn", got)
		}
	})
}

// A path that is not clean, or lacks its last slash, is redirected to the right
// one without a page of HTML that holds what the caller has sent.
func TestRedirectsAreBare(t *testing.T) {
	svc := lonely(t)
	defer func() { _ = svc.Close() }()
	svc.HandleFunc("/tree/", func(http.ResponseWriter, *http.Request) {})
	for target, want := range map[string]string{
		"/tree?x=%3Cb%3E": "/tree/?x=%3Cb%3E", "//tree/leaf": "/tree/leaf", "//none/leaf": "/none/leaf",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://shop"+target, nil)
		w := httptest.NewRecorder()
		svc.Handler().ServeHTTP(w, r)
		h := w.Header()
		if w.Code/100 != 3 || h.Get("Location") != want || w.Body.Len() != 0 || h.Get("Content-Type") != "" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v %q, want a bare redirect to %s", target, w.Code, h, w.Body, want)
		}
	}
}
