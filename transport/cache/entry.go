package cache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/httpmsg"
)

// entry is a stored response. It is never changed.
type entry struct {
	status       int
	header       http.Header
	body         []byte
	uncompressed bool
	says         directives // its Cache-Control

	asked    time.Time // when the request went out
	came     time.Time // when the response was there
	age      time.Duration
	lifetime time.Duration
}

// perHop are header fields that are not stored (RFC 9111, 3.1): those of a
// connection, and what a server says of itself at that moment.
var perHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Trailer",
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Endpoint-Load-Metrics",
}

// byHeuristic are statuses whose responses may be used for a while though
// nothing is said of their freshness (RFC 9110, 15.1).
var byHeuristic = map[int]bool{
	200: true, 203: true, 204: true, 300: true, 301: true, 308: true,
	404: true, 405: true, 410: true, 414: true, 501: true,
}

// newEntry returns what is to be stored of resp, without its body.
func (c *Cache) newEntry(resp *http.Response, asked, came time.Time) *entry {
	h := resp.Header.Clone()
	for name := range httpmsg.Elements(h["Connection"]) {
		h.Del(name)
	}
	for _, name := range perHop {
		delete(h, name)
	}
	e := &entry{
		status: resp.StatusCode, header: h, uncompressed: resp.Uncompressed, asked: asked, came: came,
	}
	e.measure(&c.settings)
	return e
}

// measure works out age and lifetime from the header.
func (e *entry) measure(s *Settings) {
	e.says = parseDirectives(e.header["Cache-Control"])
	date, dated := parseTime(e.header, "Date")
	if !dated {
		date = e.came
	}
	e.age = max(0, e.came.Sub(date), parseSeconds(e.header.Get("Age"))+e.came.Sub(e.asked))
	e.lifetime = e.freshFor(s, date)
}

// freshFor returns the freshness lifetime (RFC 9111, 4.2.1).
func (e *entry) freshFor(s *Settings, date time.Time) time.Duration {
	if d, given := e.says.seconds("s-maxage"); given && s.Shared {
		return d
	}
	if d, given := e.says.seconds("max-age"); given {
		return d
	}
	if _, given := e.header["Expires"]; given {
		expires, ok := parseTime(e.header, "Expires")
		if !ok || len(e.header["Expires"]) > 1 {
			return 0
		}
		return max(0, expires.Sub(date))
	}
	modified, ok := parseTime(e.header, "Last-Modified")
	if !s.Heuristic || !ok || !byHeuristic[e.status] && !e.says.has("public") {
		return 0
	}
	return min(24*time.Hour, max(0, date.Sub(modified)/10))
}

// explicit reports whether the response says how long it is fresh.
func (e *entry) explicit(s *Settings) bool {
	return e.header["Expires"] != nil || e.says.has("max-age") || s.Shared && e.says.has("s-maxage")
}

// storable reports whether the response to req may be stored (RFC 9111, 3), and
// is of any use then.
func (e *entry) storable(s *Settings, req *http.Request) bool {
	switch {
	case req.Method != http.MethodGet && req.Method != "",
		e.status < 200 || e.status == http.StatusPartialContent || e.status == http.StatusNotModified,
		e.says.has("no-store") && !(e.says.has("must-understand") && byHeuristic[e.status]),
		e.says.has("must-understand") && !byHeuristic[e.status],
		e.header["Set-Cookie"] != nil:
		return false
	}
	if s.Shared {
		authorized := req.Header["Authorization"] != nil
		if e.says.has("private") || authorized && !e.says.has("public") && !e.says.has("s-maxage") && !e.says.has("must-revalidate") {
			return false
		}
	}
	if !e.explicit(s) && !byHeuristic[e.status] && !e.says.has("public") && (s.Shared || !e.says.has("private")) {
		return false
	}
	return e.lifetime > 0 || e.validators()
}

// validators reports whether the server can be asked if it is still good.
func (e *entry) validators() bool {
	return e.header.Get("Etag") != "" || e.header.Get("Last-Modified") != ""
}

// old returns the entry's age now.
func (e *entry) old(now time.Time) time.Duration { return e.age + now.Sub(e.came) }

// strict reports whether the entry must not be used once it is stale, whoever
// would like to.
func (e *entry) strict(s *Settings) bool {
	return e.says.has("must-revalidate") || e.says.has("no-cache") ||
		s.Shared && (e.says.has("proxy-revalidate") || e.says.has("s-maxage"))
}

func (e *entry) weight() uint32 {
	n := overhead + len(e.body)
	for name, values := range e.header {
		n += len(name) + 32
		for _, v := range values {
			n += len(v) + 16
		}
	}
	return uint32(min(n, math.MaxUint32))
}

// response returns the entry as the answer to req.
func (e *entry) response(req *http.Request, now time.Time) *http.Response {
	h := e.header.Clone()
	h.Set("Age", strconv.FormatInt(int64(e.old(now)/time.Second), 10))
	if notModified(req, e) {
		for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding"} {
			delete(h, name)
		}
		return httpmsg.Response(req, http.StatusNotModified, h, nil)
	}
	resp := httpmsg.Response(req, e.status, h, e.body)
	resp.Uncompressed = e.uncompressed
	return resp
}

// notModified reports whether req has a condition of its own that the entry
// fails: the caller has it already.
func notModified(req *http.Request, e *entry) bool {
	if e.status != http.StatusOK {
		return false
	}
	if wanted := req.Header["If-None-Match"]; wanted != nil {
		tag := e.header.Get("Etag")
		for t := range httpmsg.Elements(wanted) {
			if t == "*" || tag != "" && weak(t) == weak(tag) {
				return true
			}
		}
		return false
	}
	since, ok := parseTime(req.Header, "If-Modified-Since")
	modified, known := parseTime(e.header, "Last-Modified")
	return ok && known && !modified.After(since)
}

// weak returns an entity tag without what marks it as weak.
func weak(tag string) string { return strings.TrimPrefix(tag, "W/") }

func parseTime(h http.Header, name string) (time.Time, bool) {
	t, err := http.ParseTime(h.Get(name))
	return t, err == nil
}
