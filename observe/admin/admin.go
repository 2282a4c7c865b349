package admin

import (
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/observe/internal/redact"
)

// debugTimeout bounds Config.Debug.
const debugTimeout = 5 * time.Second

// Config says what is served. What is nil is left out.
type Config struct {
	// Name is the service's name, shown on the index page.
	Name string

	// Live, Ready and Startup serve /livez, /readyz and /startupz.
	Live, Ready, Startup http.Handler

	// Metrics serves /metrics.
	Metrics http.Handler

	// Debug returns what /debug/gabion shows as JSON. Members with the names
	// of secrets, and credentials in texts, are marked instead of shown. Debug
	// may run several times at once.
	Debug func() any

	// Level is what /loglevel shows and changes.
	Level *slog.LevelVar

	// Hosts are further names under which the listener may be addressed, such
	// as that of the machine, without port.
	Hosts []string

	// AnyHost lets requests name any host. The check of the Host header keeps a
	// page from reaching a listener on loopback through a name of its own; on
	// a listener that others are meant to reach it would only be in the way.
	AnyHost bool

	// Extra are more handlers by ServeMux pattern.
	Extra map[string]http.Handler

	// Logger is told of changes of the level. nil means no one is.
	Logger *slog.Logger
}

// New returns the handler. It panics if a pattern of Extra is malformed or
// taken, as [http.ServeMux.Handle] does.
func New(c Config) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	var links []string
	get := func(path string, h http.Handler) {
		if h != nil {
			mux.Handle("GET "+path, h)
			links = append(links, path)
		}
	}
	get("/livez", c.Live)
	get("/readyz", c.Ready)
	get("/startupz", c.Startup)
	get("/metrics", c.Metrics)
	if c.Debug != nil {
		get("/debug/gabion", debugHandler(c.Debug))
	}
	get("/debug/pprof/", http.HandlerFunc(profileIndex))
	mux.HandleFunc("GET /debug/pprof/{name}", profile)
	if c.Level != nil {
		level := levelHandler{c.Level, c.Logger}
		get("/loglevel", http.HandlerFunc(level.get))
		mux.HandleFunc("PUT /loglevel", level.put)
	}
	for pattern, h := range c.Extra {
		mux.Handle(pattern, h)
		links = append(links, pathOf(pattern))
	}
	mux.Handle("GET /{$}", index(c.Name, links))
	return protect(mux, c.Hosts, c.AnyHost)
}

// pathOf returns the path of a ServeMux pattern.
func pathOf(pattern string) string { return pattern[max(strings.IndexByte(pattern, '/'), 0):] }

// protect refuses requests that a web page of somebody else may have sent, and
// tells browsers not to guess, keep, or frame what they get.
func protect(h http.Handler, hosts []string, anyHost bool) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Cache-Control", "no-store")
		if !anyHost && !hostAllowed(r.Host, hosts) {
			problem(w, http.StatusMisdirectedRequest,
				"the Host header must be an IP address, localhost, or a name that the service was told")
			return
		}
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			problem(w, http.StatusForbidden, "pages of other sites may link here, not load from here")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostAllowed reports whether a Host header, with or without port, cannot be a
// name that a stranger has pointed at us.
func hostAllowed(host string, allowed []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host != "" && slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, host) })
}

// debugHandler shows what state returns, within 5 s.
func debugHandler(state func() any) http.Handler {
	show := func(w http.ResponseWriter, _ *http.Request) {
		tree, err := snapshot(state)
		if err != nil {
			problem(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(tree) // a reader that has left needs no answer
	}
	return http.TimeoutHandler(http.HandlerFunc(show), debugTimeout, "the state could not be read in time\n")
}

// snapshot returns the state without secrets.
func snapshot(state func() any) (tree any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the state panicked: %s", redact.Text(fmt.Sprint(p)))
		}
	}()
	tree, err = redact.JSON(state(), func(s string) string { return s })
	if err != nil {
		return nil, fmt.Errorf("the state has no JSON form: %w", err)
	}
	return tree, nil
}

// problem answers with an RFC 9457 problem.
func problem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
	if err != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a reader that has left needs no answer
}

var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Name}} admin</title>
<style>body{font:1rem/1.6 system-ui,sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}</style>
<h1>{{.Name}} admin</h1>
<ul>{{range .Links}}
<li><a href="{{.}}">{{.}}</a>{{end}}
</ul>
</html>
`))

// index serves a page with the links, sorted.
func index(name string, links []string) http.Handler {
	slices.Sort(links)
	links = slices.Compact(links)
	if name == "" {
		name = "gabion"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = indexPage.Execute(w, struct { // a reader that has left needs no answer
			Name  string
			Links []string
		}{name, links})
	})
}
