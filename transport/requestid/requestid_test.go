package requestid_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/requestid"
)

func TestHandler(t *testing.T) {
	public := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for name, tc := range map[string]struct {
		remote  string
		trusted []netip.Prefix
		given   []string
		adopted bool
	}{
		"private":              {"10.1.2.3:4", nil, []string{"abc-123"}, true},
		"loopback":             {"127.0.0.1:4", nil, []string{"abc-123"}, true},
		"loopback, v6":         {"[::1]:4", nil, []string{"abc-123"}, true},
		"mapped":               {"[::ffff:10.1.2.3]:4", nil, []string{"abc-123"}, true},
		"with a zone":          {"[fe80::1%eth0]:4", nil, []string{"abc-123"}, true},
		"in process":           {"in-process", nil, []string{"abc-123"}, true},
		"stranger":             {"192.0.2.1:4", nil, []string{"abc-123"}, false},
		"stranger, v6":         {"[2001:db8::1]:4", nil, []string{"abc-123"}, false},
		"stranger, no port":    {"192.0.2.1", nil, []string{"abc-123"}, false},
		"no stranger any more": {"192.0.2.1:4", public, []string{"abc-123"}, true},
		"nor by v6":            {"[2001:db8::1]:4", public, []string{"abc-123"}, true},
		"not named":            {"10.1.2.3:4", public, []string{"abc-123"}, false},
		"nobody named":         {"127.0.0.1:4", []netip.Prefix{}, []string{"abc-123"}, false},
		"every character":      {"10.1.2.3:4", nil, []string{"AZaz09-._~+/=:@"}, true},
		"none":                 {"10.1.2.3:4", nil, nil, false},
		"empty":                {"10.1.2.3:4", nil, []string{""}, false},
		"two":                  {"10.1.2.3:4", nil, []string{"a", "b"}, false},
		"long":                 {"10.1.2.3:4", nil, []string{strings.Repeat("x", 128)}, true},
		"too long":             {"10.1.2.3:4", nil, []string{strings.Repeat("x", 129)}, false},
		"space":                {"10.1.2.3:4", nil, []string{"a b"}, false},
		"line":                 {"10.1.2.3:4", nil, []string{"a\nb"}, false},
		"markup":               {"10.1.2.3:4", nil, []string{"<b>"}, false},
		"quote":                {"10.1.2.3:4", nil, []string{`a"b`}, false},
		"not ASCII":            {"10.1.2.3:4", nil, []string{"ä"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var seen, header string
			mux := http.NewServeMux()
			mux.HandleFunc("GET /items/{id}", func(_ http.ResponseWriter, r *http.Request) {
				seen, header = requestid.FromContext(r.Context()), r.Header.Get(requestid.Header)
			})
			r := httptest.NewRequest("GET", "/items/7", nil)
			r.RemoteAddr = tc.remote
			if tc.given != nil {
				r.Header[requestid.Header] = tc.given
			}
			w := httptest.NewRecorder()
			requestid.Handler(mux, requestid.Settings{Trusted: tc.trusted}).ServeHTTP(w, r)
			if adopted := len(tc.given) > 0 && seen == tc.given[0]; adopted != tc.adopted || !requestid.Valid(seen) || header != seen || w.Header().Get(requestid.Header) != seen {
				t.Errorf("the handler sees %q, its header %q, the caller %q; want adopted %v", seen, header, w.Header().Get(requestid.Header), tc.adopted)
			}
			if r.Pattern != "GET /items/{id}" || len(r.Header[requestid.Header]) != len(tc.given) {
				t.Errorf("route %q, header of the request that was given %v", r.Pattern, r.Header)
			}
		})
	}
}

func TestNewIsNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := requestid.New()
		if seen[id] || !requestid.Valid(id) {
			t.Fatalf("got %q again, or it is not valid", id)
		}
		seen[id] = true
	}
}

func TestTransport(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header[requestid.Header], ","))
	}))
	defer srv.Close()
	c := &http.Client{Transport: requestid.Transport(srv.Client().Transport)}
	defer c.CloseIdleConnections()
	for name, tc := range map[string]struct{ inContext, inHeader, want string }{
		"handed on":      {"abc", "", "abc"},
		"the header's":   {"abc", "def", "def"},
		"nothing to say": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.inContext != "" {
				ctx = requestid.WithID(ctx, tc.inContext)
			}
			req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
			if tc.inHeader != "" {
				req.Header.Set(requestid.Header, tc.inHeader)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(b) != tc.want || resp.Request != req || req.Header.Get(requestid.Header) != tc.inHeader {
				t.Errorf("the server sees %q, want %q; the request is %v", b, tc.want, req.Header)
			}
		})
	}
}

// The id is on the answer even when the handler panics.
func TestPanic(t *testing.T) {
	h := requestid.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "half=done")
		panic("here")
	}), requestid.Settings{})
	srv, err := transport.NewServer(h)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || !requestid.Valid(w.Header().Get(requestid.Header)) || w.Header()["Set-Cookie"] != nil {
		t.Errorf("answered %d %v, want the id and nothing of the handler's", w.Code, w.Header())
	}
}

func TestLogHandler(t *testing.T) {
	ctx := requestid.WithID(context.Background(), "abc")
	for name, tc := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"plain":              {func(l *slog.Logger) { l.InfoContext(ctx, "m", "a", 1) }, `{"level":"INFO","msg":"m","a":1,"request_id":"abc"}`},
		"no request":         {func(l *slog.Logger) { l.Info("m", "a", 1) }, `{"level":"INFO","msg":"m","a":1}`},
		"attributes":         {func(l *slog.Logger) { l.With("b", 2).InfoContext(ctx, "m") }, `{"level":"INFO","msg":"m","b":2,"request_id":"abc"}`},
		"in a group":         {func(l *slog.Logger) { l.With("b", 2).WithGroup("g").With("c", 3).InfoContext(ctx, "m", "a", 1) }, `{"level":"INFO","msg":"m","b":2,"request_id":"abc","g":{"c":3,"a":1}}`},
		"in a group of none": {func(l *slog.Logger) { l.WithGroup("").InfoContext(ctx, "m") }, `{"level":"INFO","msg":"m","request_id":"abc"}`},
		"group, no request":  {func(l *slog.Logger) { l.WithGroup("g").Info("m", "a", 1) }, `{"level":"INFO","msg":"m","g":{"a":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			out := slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})
			tc.log(slog.New(requestid.LogHandler(out)))
			if got := strings.TrimSpace(b.String()); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// bound gives every record an id, which slogtest cannot.
type bound struct{ slog.Handler }

func (b bound) Handle(_ context.Context, r slog.Record) error {
	return b.Handler.Handle(requestid.WithID(context.Background(), "abc"), r)
}
func (b bound) WithAttrs(attrs []slog.Attr) slog.Handler { return bound{b.Handler.WithAttrs(attrs)} }
func (b bound) WithGroup(name string) slog.Handler       { return bound{b.Handler.WithGroup(name)} }

func TestLogHandlerKeepsTheRules(t *testing.T) {
	var b bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b.Reset()
		return bound{requestid.LogHandler(slog.NewJSONHandler(&b, nil))}
	}, func(t *testing.T) map[string]any {
		m := map[string]any{}
		if err := json.Unmarshal(b.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if m[requestid.Key] != "abc" {
			t.Errorf("the id is not at the top level of %s", b.Bytes())
		}
		return m
	})
}

// Whatever a caller sends for an id, what goes on from here is valid, harmless in
// JSON and in headers, and the caller's own exactly if that was valid.
func FuzzValid(f *testing.F) {
	f.Add("4bf92f35-77b3.4da6_a3ce~929d+0e/0e=47:36@a")
	f.Add("")
	f.Add(strings.Repeat("a", requestid.MaxBytes+1))
	f.Add("a b")
	f.Add("a\r\nSet-Cookie: b=c")
	f.Add("\u0130\xff\"")
	harmless := regexp.MustCompile(fmt.Sprintf(`\A[0-9A-Za-z._~+/=:@-]{1,%d}\z`, requestid.MaxBytes))
	f.Fuzz(func(t *testing.T, id string) {
		valid := requestid.Valid(id)
		if valid != harmless.MatchString(id) {
			t.Fatalf("%q is valid: %v", id, valid)
		}
		if b, err := json.Marshal(id); valid && (err != nil || string(b) != `"`+id+`"`) {
			t.Errorf("%q is written as %s, %v", id, b, err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header[requestid.Header] = []string{id}
		var inside string
		requestid.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			inside = requestid.FromContext(r.Context())
		}), requestid.Settings{}).ServeHTTP(w, r)
		if out := w.Header().Get(requestid.Header); out != inside || !harmless.MatchString(out) || (out == id) != valid {
			t.Errorf("%q becomes %q inside and %q outside", id, inside, out)
		}
	})
}
