package cache

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/httpmsg"
)

// maxValidations is how many validations a Transport has in the background at
// once; stale responses beyond it are served without.
const maxValidations = 32

// A Transport is an [http.RoundTripper] that answers from a [Cache] what it can,
// and makes the other calls through another RoundTripper. It is safe for
// concurrent use.
type Transport struct {
	cache  *Cache
	next   http.RoundTripper
	ctx    context.Context // of validations in the background
	cancel context.CancelFunc

	mu         sync.Mutex
	closed     bool
	validating map[key]struct{}
	wg         sync.WaitGroup
}

// Transport puts c in front of next, which must not be nil.
func (c *Cache) Transport(next http.RoundTripper) *Transport {
	t := &Transport{cache: c, next: next, validating: map[key]struct{}{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Close ends the validations that go on in the background and waits for them.
// Calls go on, and the cache stays as it is. A second Close does nothing.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.wg.Wait()
	return nil
}

// CloseIdleConnections passes on to the inner RoundTripper, for
// http.Client.CloseIdleConnections.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip answers req from the cache, or makes the call.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if why := bypass(req); why != "" {
		return t.pass(req, why)
	}
	asks := parseDirectives(req.Header["Cache-Control"])
	if asks == nil && strings.EqualFold(req.Header.Get("Pragma"), "no-cache") {
		asks = directives{"no-cache": {}}
	}
	if asks.has("no-store") {
		return t.pass(req, "request")
	}
	e, known := t.cache.find(req)
	if e == nil {
		why := "uri-miss"
		if known {
			why = "vary-miss"
		}
		if asks.has("only-if-cached") {
			return t.unanswered(req, why)
		}
		return t.fetch(req, req, why)
	}
	now := time.Now()
	switch use := e.use(&t.cache.settings, asks, now); {
	case use == useNow || use == useStale:
		return t.hit(req, e, now), nil
	case use == useAndValidate:
		t.validateLater(req, e)
		return t.hit(req, e, now), nil
	case asks.has("only-if-cached"):
		return t.unanswered(req, "stale")
	case !e.validators() || conditional(req):
		return t.refetch(req, e, asks)
	default:
		return t.validate(req, e, asks)
	}
}

// bypass returns why req has nothing to do with the cache, as Cache-Status has
// it, or nothing if it has.
func bypass(req *http.Request) string {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead:
	default:
		return "method"
	}
	if req.URL == nil || req.Body != nil && req.Body != http.NoBody {
		return "bypass"
	}
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade"} {
		if req.Header[name] != nil {
			return "bypass"
		}
	}
	return ""
}

// conditional reports whether the caller has a copy of its own that it asks
// about.
func conditional(req *http.Request) bool {
	return req.Header["If-None-Match"] != nil || req.Header["If-Modified-Since"] != nil
}

// pass makes the call. A write that succeeds makes void what it may have changed.
func (t *Transport) pass(req *http.Request, why string) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
	default:
		t.cache.invalidate(req, resp)
	}
	t.cache.forwarded.Add(1)
	t.mark(resp, "fwd="+why)
	return resp, nil
}

// fetch makes the call with out and stores the response to req, if it may be.
func (t *Transport) fetch(req, out *http.Request, why string) (*http.Response, error) {
	asked := time.Now()
	resp, err := t.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	t.keep(req, resp, asked)
	t.forwardedAs(req, resp, why)
	return resp, nil
}

func (t *Transport) forwardedAs(req *http.Request, resp *http.Response, why string) {
	t.cache.forwarded.Add(1)
	t.mark(resp, "fwd="+why)
	resp.Request = req
}

// hit answers from the store.
func (t *Transport) hit(req *http.Request, e *entry, now time.Time) *http.Response {
	left := e.lifetime - e.old(now)
	if left > 0 {
		t.cache.fresh.Add(1)
	} else {
		t.cache.stale.Add(1)
	}
	resp := e.response(req, now)
	t.mark(resp, "hit; ttl="+strconv.FormatInt(int64(left/time.Second), 10))
	return resp
}

// unanswered is the answer to a caller that wants one from the store or none.
func (t *Transport) unanswered(req *http.Request, why string) (*http.Response, error) {
	resp := httpmsg.Response(req, http.StatusGatewayTimeout, http.Header{"Content-Length": {"0"}}, nil)
	t.mark(resp, "fwd="+why+"; detail=only-if-cached")
	return resp, nil
}

// mark says on the response what the cache did (RFC 9211).
func (t *Transport) mark(resp *http.Response, what string) {
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header.Add("Cache-Status", t.cache.settings.Name+"; "+what)
}

// usage says what an entry is good for.
type usage int8

const (
	useNot         usage = iota // not before the server has said so
	useNow                      // it is fresh
	useStale                    // it is not, and the caller does not mind
	useAndValidate              // it is not, and the server does not mind for now
)

// use decides whether e may answer a request with these directives (RFC 9111,
// 4.2 and 5.2.1; RFC 5861, 3).
func (e *entry) use(s *Settings, asks directives, now time.Time) usage {
	age := e.old(now)
	if asks.has("no-cache") || e.says.has("no-cache") {
		return useNot
	}
	if most, given := asks.seconds("max-age"); given && age > most {
		return useNot
	}
	left := e.lifetime - age
	if least, given := asks.seconds("min-fresh"); given && left < least {
		return useNot
	}
	if left > 0 {
		return useNow
	}
	if e.strict(s) {
		return useNot
	}
	if most, given := asks.seconds("max-stale"); given && (asks["max-stale"] == directive{} || -left <= most) {
		return useStale
	}
	if most, given := e.says.seconds("stale-while-revalidate"); given && -left <= most {
		return useAndValidate
	}
	return useNot
}
