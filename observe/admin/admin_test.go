package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/observe/admin"
)

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func full() admin.Config {
	return admin.Config{
		Name: "cart<script>", Live: text("live"), Ready: text("ready"), Startup: text("startup"), Metrics: text("metrics"),
		Debug: func() any { return map[string]any{"instance": "cart-1"} },
		Level: &slog.LevelVar{},
		Extra: map[string]http.Handler{"GET /dashboard/": text("dashboard")},
	}
}

// do sends a request to h as a client on this machine would.
func do(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:9000"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	h := admin.New(full())
	for path, want := range map[string]string{
		"/livez": "live", "/readyz": "ready", "/startupz": "startup", "/metrics": "metrics",
		"/debug/gabion": `"instance": "cart-1"`, "/dashboard/x": "dashboard", "/loglevel": "info",
		"/debug/pprof/": "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=1": "goroutine profile:",
		"/": `<a href="/debug/gabion">`,
	} {
		w := do(h, "GET", path, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("GET %s: status %d, body %.200q, want %q in it", path, w.Code, w.Body, want)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("GET %s: X-Content-Type-Options %q", path, got)
		}
	}
	for request, want := range map[string]int{
		"GET /nothing": 404, "GET /debug/pprof/nothing": 404, "GET /debug/pprof/cmdline": 404,
		"POST /livez": 405, "DELETE /loglevel": 405, "HEAD /livez": 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		if w := do(h, method, path, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", request, w.Code, want)
		}
	}
}

func TestIndexListsWhatIsThere(t *testing.T) {
	page := do(admin.New(full()), "GET", "/", "").Body.String()
	for _, path := range []string{"/livez", "/readyz", "/startupz", "/metrics", "/debug/gabion", "/debug/pprof/", "/loglevel", "/dashboard/"} {
		if !strings.Contains(page, `href="`+path+`"`) {
			t.Errorf("no link to %s", path)
		}
	}
	if strings.Contains(page, "<script>") {
		t.Error("the name is not escaped")
	}
	bare := do(admin.New(admin.Config{}), "GET", "/", "").Body.String()
	if strings.Contains(bare, "/livez") || strings.Contains(bare, "/loglevel") {
		t.Errorf("links to what is not there:\n%s", bare)
	}
	if w := do(admin.New(admin.Config{}), "GET", "/metrics", ""); w.Code != 404 {
		t.Errorf("GET /metrics without metrics: %d", w.Code)
	}
}

// net/http/pprof registers itself when it is imported; then every server that
// uses the default mux shows profiles.
func TestDefaultServeMuxIsLeftAlone(t *testing.T) {
	admin.New(full())
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/profile", "/livez", "/"} {
		if _, pattern := http.DefaultServeMux.Handler(httptest.NewRequest("GET", path, nil)); pattern != "" {
			t.Errorf("%s is served by the default mux through %q", path, pattern)
		}
	}
}

func TestHost(t *testing.T) {
	c := full()
	c.Hosts = []string{"Node1.example.com"}
	h := admin.New(c)
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:80": 200, "10.1.2.3:9000": 200, "[::1]:80": 200, "[::1]": 200,
		"localhost:80": 200, "LOCALHOST.": 200, "a.localhost": 200, "node1.example.com:9000": 200,
		"evil.example:9000": 421, "node1.example.com.evil.example": 421, "127.0.0.1.evil.example": 421, "localhost.evil": 421,
	} {
		if w := do(h, "GET", "/livez", "", "Host", host); w.Code != want {
			t.Errorf("Host %q: status %d, want %d", host, w.Code, want)
		}
	}
}

func TestOtherSites(t *testing.T) {
	h := admin.New(full())
	for name, test := range map[string]struct {
		method, site, mode string
		want               int
	}{
		"link":       {"GET", "cross-site", "navigate", 200},
		"load":       {"GET", "cross-site", "no-cors", 403},
		"change":     {"PUT", "cross-site", "cors", 403},
		"own change": {"PUT", "same-origin", "cors", 200},
	} {
		w := do(h, test.method, "/loglevel", "info", "Sec-Fetch-Site", test.site, "Sec-Fetch-Mode", test.mode)
		if w.Code != test.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, test.want)
		}
	}
}

func TestLogLevel(t *testing.T) {
	for name, test := range map[string]struct {
		body, contentType string
		status            int
		want              string
		level             slog.Level
	}{
		"text":           {"debug", "", 200, "debug\n", slog.LevelDebug},
		"blank around":   {" WARN\n", "text/plain", 200, "warn\n", slog.LevelWarn},
		"offset":         {"info+2", "", 200, "info+2\n", slog.LevelInfo + 2},
		"JSON":           {`{"level":"error"}`, "application/json", 200, `{"level":"error"}` + "\n", slog.LevelError},
		"JSON untyped":   {`{"level":"error"}`, "", 200, `{"level":"error"}` + "\n", slog.LevelError},
		"unknown":        {"loud", "", 400, `level \"loud\": want debug`, 0},
		"empty":          {"", "", 400, "want debug", 0},
		"empty JSON":     {"{}", "", 400, "want one JSON object", 0},
		"unknown field":  {`{"level":"debug","x":1}`, "", 400, "want one JSON object", 0},
		"wrong type":     {`{"level":1}`, "", 400, "want one JSON object", 0},
		"trailing":       {`{"level":"debug"}}`, "", 400, "want one JSON object", 0},
		"two":            {`{"level":"debug"}{"level":"info"}`, "", 400, "want one JSON object", 0},
		"too long":       {strings.Repeat("x", 5000), "", 413, "longer than 1024", 0},
		"not quite JSON": {"debug", "application/json", 400, "want one JSON object", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := full()
			var log bytes.Buffer
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			w := do(admin.New(c), "PUT", "/loglevel", test.body, "Content-Type", test.contentType)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("status %d, body %q; want %d, %q", w.Code, w.Body, test.status, test.want)
			}
			if got := c.Level.Level(); got != test.level {
				t.Errorf("level %v, want %v", got, test.level)
			}
			if changed := test.level != 0; changed != strings.Contains(log.String(), "log level changed") {
				t.Errorf("log: %q", log.String())
			}
			if got := w.Header().Get("Content-Type"); w.Code != 200 && got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
	if got := do(admin.New(full()), "GET", "/loglevel", "", "Accept", "application/json").Body.String(); got != `{"level":"info"}`+"\n" {
		t.Errorf("GET as JSON: %q", got)
	}
}

func TestDebugHidesSecrets(t *testing.T) {
	c := full()
	u, _ := url.Parse("https://joe:s3cret@db")
	c.Debug = func() any {
		return map[string]any{
			"discovery": u.String(), "token": "s3cret", "policy": map[string]any{"timeout": "5s", "headers": []string{"Bearer s3cret"}},
		}
	}
	body := do(admin.New(c), "GET", "/debug/gabion", "").Body.String()
	if strings.Contains(body, "s3cret") || !strings.Contains(body, "\n    \"timeout\": \"5s\"") {
		t.Errorf("body %s", body)
	}
}

func TestDebugFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		for name, test := range map[string]struct {
			state func() any
			want  int
		}{
			"panics":     {func() any { panic("token=s3cret") }, 500},
			"unmarshals": {func() any { return make(chan int) }, 500},
			"hangs":      {func() any { <-release; return nil }, 503},
		} {
			c := full()
			c.Debug = test.state
			w := do(admin.New(c), "GET", "/debug/gabion", "")
			if w.Code != test.want || strings.Contains(w.Body.String(), "s3cret") {
				t.Errorf("%s: status %d, body %q", name, w.Code, w.Body)
			}
		}
	})
}

func TestProfiles(t *testing.T) {
	h := admin.New(full())
	for _, path := range []string{
		"/debug/pprof/profile?seconds=0.05", "/debug/pprof/heap?gc=1", "/debug/pprof/allocs", "/debug/pprof/trace?seconds=0.01",
	} {
		w := do(h, "GET", path, "")
		if w.Code != 200 || w.Body.Len() == 0 || w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("GET %s: status %d, %d bytes of %s", path, w.Code, w.Body.Len(), w.Header().Get("Content-Type"))
		}
	}
	for _, bad := range []string{"x", "-1", "0", "NaN", "1e9"} {
		if w := do(h, "GET", "/debug/pprof/profile?seconds="+bad, ""); w.Code != 400 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("seconds=%s: status %d, body %s", bad, w.Code, w.Body)
		}
	}
}

func TestOneRecordingAtATime(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	if w := do(admin.New(full()), "GET", "/debug/pprof/profile?seconds=1", ""); w.Code != http.StatusConflict {
		t.Errorf("status %d, want 409", w.Code)
	}
}

func TestRecordingEndsWithItsReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/debug/pprof/profile?seconds=200", nil)
		admin.New(full()).ServeHTTP(httptest.NewRecorder(), r)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the recording goes on without its reader")
	}
}

// A listener that others are meant to reach goes by names that it cannot know.
func TestAnyHost(t *testing.T) {
	for allowed, want := range map[bool]int{false: http.StatusMisdirectedRequest, true: http.StatusOK} {
		h := admin.New(admin.Config{Name: "shop", AnyHost: allowed})
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = "shop.prod.svc:9100"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("AnyHost %v: got %d, want %d", allowed, w.Code, want)
		}
	}
}
