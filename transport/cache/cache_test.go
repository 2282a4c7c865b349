package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/cache"
)

// origin is the server behind a cache. It answers with header and counts.
type origin struct {
	mu      sync.Mutex
	status  int
	header  []string // of the response, in pairs; HTTP dates may be given as "+10s"
	err     error
	takes   time.Duration
	asked   []http.Header
	methods []string
	etag    string // answers 304 to who has it
}

func (o *origin) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(o.takes)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, req.Header.Clone())
	o.methods = append(o.methods, req.Method)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if o.err != nil {
		return nil, o.err
	}
	resp := &http.Response{StatusCode: o.status, Header: http.Header{}, Request: req, ContentLength: -1}
	if resp.StatusCode == 0 {
		resp.StatusCode = 200
	}
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	for i := 0; i < len(o.header); i += 2 {
		resp.Header.Add(o.header[i], date(o.header[i+1]))
	}
	body := fmt.Sprint("answer ", len(o.asked))
	if o.etag != "" {
		resp.Header.Set("Etag", o.etag)
		if req.Header.Get("If-None-Match") == o.etag {
			resp.StatusCode, body = 304, ""
		}
	}
	if req.Method == http.MethodHead {
		body = ""
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// date makes an HTTP date of what is given as an offset from now.
func date(s string) string {
	if d, err := time.ParseDuration(s); err == nil && strings.ContainsAny(s[:1], "+-") {
		return time.Now().Add(d).UTC().Format(http.TimeFormat)
	}
	return s
}

func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

func (o *origin) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func open(t *testing.T, s cache.Settings, o http.RoundTripper) *cache.Transport {
	t.Helper()
	c, err := cache.New(s)
	if err != nil {
		t.Fatal(err)
	}
	rt := c.Transport(o)
	t.Cleanup(func() { rt.Close() })
	return rt
}

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request: "GET /path", with header fields in pairs.
func call(t *testing.T, rt http.RoundTripper, what string, header ...string) answer {
	t.Helper()
	a, err := try(t.Context(), rt, what, header...)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return a
}

func try(ctx context.Context, rt http.RoundTripper, what string, header ...string) (answer, error) {
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(ctx, method, "http://pricing"+path, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], date(header[i+1]))
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.Request != req {
		err = errors.Join(err, errors.New("the response is of another request"))
	}
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// What the origin says, what is asked, how long after: does the second request
// get the first answer? The cases follow RFC 9111 section by section.
func TestReuse(t *testing.T) {
	const yes, no = true, false
	type tc struct {
		header        []string // of the response
		status        int
		first, second []string // header of the requests
		wait          time.Duration
		private       bool // what a private cache does
		shared        bool
	}
	for name, c := range map[string]tc{
		// 3 Storing
		"nothing said":               {private: no, shared: no},
		"no-store":                   {header: []string{"Cache-Control", "max-age=60, no-store"}, private: no, shared: no},
		"NO-STORE":                   {header: []string{"Cache-Control", "NO-STORE, max-age=60"}, private: no, shared: no},
		"two fields":                 {header: []string{"Cache-Control", "max-age=60", "Cache-Control", "no-store"}, private: no, shared: no},
		"private":                    {header: []string{"Cache-Control", "private, max-age=60"}, private: yes, shared: no},
		"private field":              {header: []string{"Cache-Control", `private="x, y", max-age=60`}, private: yes, shared: no},
		"unknown directive":          {header: []string{"Cache-Control", `foo="no-store, x", max-age=60, bar`}, private: yes, shared: yes},
		"sets a cookie":              {header: []string{"Cache-Control", "public, max-age=60", "Set-Cookie", "a=b"}, private: no, shared: no},
		"302 with a lifetime":        {status: 302, header: []string{"Cache-Control", "max-age=60"}, private: yes, shared: yes},
		"599 with a lifetime":        {status: 599, header: []string{"Cache-Control", "max-age=60"}, private: yes, shared: yes},
		"206":                        {status: 206, header: []string{"Cache-Control", "max-age=60"}, private: no, shared: no},
		"must-understand and is":     {header: []string{"Cache-Control", "must-understand, no-store, max-age=60"}, private: yes, shared: yes},
		"must-understand and is not": {status: 299, header: []string{"Cache-Control", "must-understand, max-age=60"}, private: no, shared: no},
		"request no-store":           {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Cache-Control", "no-store"}, private: no, shared: no},
		"request with a range":       {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Range", "bytes=0-1"}, private: no, shared: no},
		"second with a range":        {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Range", "bytes=0-1"}, private: no, shared: no},
		// 3.5 Authorization, and cookies
		"authorized, same":            {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Authorization", "a"}, second: []string{"Authorization", "a"}, private: yes, shared: no},
		"authorized, another":         {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Authorization", "a"}, second: []string{"Authorization", "b"}, private: no, shared: no},
		"authorized, then nobody":     {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Authorization", "a"}, private: no, shared: no},
		"authorized and public":       {header: []string{"Cache-Control", "max-age=60, public"}, first: []string{"Authorization", "a"}, second: []string{"Authorization", "b"}, private: no, shared: yes},
		"authorized and s-maxage":     {header: []string{"Cache-Control", "s-maxage=60"}, first: []string{"Authorization", "a"}, second: []string{"Authorization", "b"}, private: no, shared: yes},
		"authorized, must-revalidate": {header: []string{"Cache-Control", "max-age=60, must-revalidate"}, first: []string{"Authorization", "a"}, second: []string{"Authorization", "b"}, private: no, shared: no},
		"same cookie":                 {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Cookie", "a"}, second: []string{"Cookie", "a"}, private: yes, shared: yes},
		"another cookie":              {header: []string{"Cache-Control", "max-age=60"}, first: []string{"Cookie", "a"}, second: []string{"Cookie", "b"}, private: no, shared: no},
		"another cookie, public":      {header: []string{"Cache-Control", "max-age=60, public"}, first: []string{"Cookie", "a"}, second: []string{"Cookie", "b"}, private: no, shared: yes},
		"a tenant that is configured": {header: []string{"Cache-Control", "max-age=60, public"}, first: []string{"X-Tenant", "a"}, second: []string{"X-Tenant", "b"}, private: no, shared: no},
		// 4.1 Vary
		"vary, same":    {header: []string{"Cache-Control", "max-age=60", "Vary", "accept-language, Foo"}, first: []string{"Accept-Language", "de"}, second: []string{"Accept-Language", "de", "Bar", "1"}, private: yes, shared: yes},
		"vary, another": {header: []string{"Cache-Control", "max-age=60", "Vary", "Foo", "Vary", "Accept-Language"}, first: []string{"Accept-Language", "de"}, second: []string{"Accept-Language", "en"}, private: no, shared: no},
		"vary, missing": {header: []string{"Cache-Control", "max-age=60", "Vary", "Accept-Language"}, first: []string{"Accept-Language", "de"}, private: no, shared: no},
		"vary, all":     {header: []string{"Cache-Control", "max-age=60", "Vary", "Foo, *"}, private: no, shared: no},
		// 4.2 Freshness
		"max-age":                {header: []string{"Cache-Control", "max-age=60"}, wait: 59 * time.Second, private: yes, shared: yes},
		"max-age over":           {header: []string{"Cache-Control", "max-age=60"}, wait: 60 * time.Second, private: no, shared: no},
		"quoted":                 {header: []string{"Cache-Control", `max-age="60"`}, wait: 59 * time.Second, private: yes, shared: yes},
		"max-age=0":              {header: []string{"Cache-Control", "max-age=0"}, private: no, shared: no},
		"max-age of no number":   {header: []string{"Cache-Control", "max-age=6x"}, private: no, shared: no},
		"negative":               {header: []string{"Cache-Control", "max-age=-60"}, private: no, shared: no},
		"huge":                   {header: []string{"Cache-Control", "max-age=99999999999999999999"}, wait: time.Hour, private: yes, shared: yes},
		"two that differ":        {header: []string{"Cache-Control", "max-age=60, max-age=90"}, private: no, shared: no},
		"two that agree":         {header: []string{"Cache-Control", "max-age=60, max-age=60"}, private: yes, shared: yes},
		"s-maxage longer":        {header: []string{"Cache-Control", "max-age=1, s-maxage=60"}, wait: 10 * time.Second, private: no, shared: yes},
		"s-maxage shorter":       {header: []string{"Cache-Control", "max-age=60, s-maxage=1"}, wait: 10 * time.Second, private: yes, shared: no},
		"Expires":                {header: []string{"Expires", "+60s"}, wait: 59 * time.Second, private: yes, shared: yes},
		"Expires over":           {header: []string{"Expires", "+60s"}, wait: 60 * time.Second, private: no, shared: no},
		"Expires: 0":             {header: []string{"Expires", "0"}, private: no, shared: no},
		"max-age before Expires": {header: []string{"Expires", "-60s", "Cache-Control", "max-age=60"}, private: yes, shared: yes},
		"Age uses it up":         {header: []string{"Cache-Control", "max-age=60", "Age", "50"}, wait: 10 * time.Second, private: no, shared: no},
		"Age leaves some":        {header: []string{"Cache-Control", "max-age=60", "Age", "50"}, wait: 9 * time.Second, private: yes, shared: yes},
		"heuristics are off":     {header: []string{"Last-Modified", "-1000s"}, private: no, shared: no},
		// 5.2.1 what the request says
		"request no-cache":        {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "no-cache"}, private: no, shared: no},
		"request Pragma":          {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Pragma", "no-cache"}, private: no, shared: no},
		"request max-age":         {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "max-age=5"}, wait: 6 * time.Second, private: no, shared: no},
		"request max-age, young":  {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "max-age=5"}, wait: 5 * time.Second, private: yes, shared: yes},
		"request min-fresh":       {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "min-fresh=10"}, wait: 51 * time.Second, private: no, shared: no},
		"request max-stale":       {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "max-stale=10"}, wait: 70 * time.Second, private: yes, shared: yes},
		"request max-stale, any":  {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "max-stale"}, wait: time.Hour, private: yes, shared: yes},
		"request max-stale, over": {header: []string{"Cache-Control", "max-age=60"}, second: []string{"Cache-Control", "max-stale=10"}, wait: 71 * time.Second, private: no, shared: no},
		// 5.2.2 what the response says
		"no-cache":             {header: []string{"Cache-Control", "max-age=60, no-cache"}, private: no, shared: no},
		"no-cache field":       {header: []string{"Cache-Control", `max-age=60, no-cache="x"`}, private: no, shared: no},
		"must-revalidate":      {header: []string{"Cache-Control", "max-age=60, must-revalidate"}, second: []string{"Cache-Control", "max-stale"}, wait: 61 * time.Second, private: no, shared: no},
		"proxy-revalidate":     {header: []string{"Cache-Control", "max-age=60, proxy-revalidate"}, second: []string{"Cache-Control", "max-stale"}, wait: 61 * time.Second, private: yes, shared: no},
		"s-maxage revalidates": {header: []string{"Cache-Control", "max-age=60, s-maxage=60"}, second: []string{"Cache-Control", "max-stale"}, wait: 61 * time.Second, private: yes, shared: no},
	} {
		for kind, want := range map[string]bool{"private": c.private, "shared": c.shared} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &origin{header: c.header, status: c.status}
					rt := open(t, cache.Settings{Shared: kind == "shared", Vary: []string{"x-tenant"}}, o)
					call(t, rt, "GET /", c.first...)
					time.Sleep(c.wait)
					a := call(t, rt, "GET /", c.second...)
					if got := o.count() == 1; got != want {
						t.Errorf("reused: %v, want %v (%s)", got, want, a.header.Get("Cache-Status"))
					}
					if want && a.body != "answer 1" {
						t.Errorf("got %q", a.body)
					}
				})
			})
		}
	}
}

func TestHitsAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=60", "Age", "5", "Connection", "X-Hop", "X-Hop", "1", "Endpoint-Load-Metrics", "TEXT x", "X-Kept", "1"}}
		rt := open(t, cache.Settings{}, o)
		if a := call(t, rt, "GET /"); a.header.Get("Cache-Status") != "gabion; fwd=uri-miss" || a.header.Get("Age") != "5" {
			t.Errorf("miss: %v", a.header)
		}
		time.Sleep(10 * time.Second)
		a := call(t, rt, "GET /")
		if a.header.Get("Cache-Status") != "gabion; hit; ttl=45" || a.header.Get("Age") != "15" || a.header.Get("X-Kept") != "1" ||
			a.header.Get("X-Hop") != "" || a.header.Get("Endpoint-Load-Metrics") != "" {
			t.Errorf("hit: %v", a.header)
		}
		a.header.Set("X-Kept", "mine")
		if a := call(t, rt, "HEAD /"); a.header.Get("X-Kept") != "1" || a.body != "" || o.count() != 1 {
			t.Errorf("HEAD: %v %q", a.header, a.body)
		}
		if a := call(t, rt, "GET /", "Cookie", "a=b"); a.header.Get("Cache-Status") != "gabion; fwd=vary-miss" {
			t.Errorf("vary miss: %v", a.header)
		}
		if a := call(t, rt, "GET /none", "Cache-Control", "only-if-cached"); a.status != 504 || o.count() != 2 {
			t.Errorf("only-if-cached: %d", a.status)
		}
		if a := call(t, rt, "GET /", "Cache-Control", "only-if-cached"); a.status != 200 {
			t.Errorf("only-if-cached of what is there: %d", a.status)
		}
	})
}

func TestValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=10", "Last-Modified", "-60s", "X-Round", "1", "Content-Type", "text/a"}, etag: `"v1"`}
		rt := open(t, cache.Settings{}, o)
		call(t, rt, "GET /")
		time.Sleep(11 * time.Second)
		o.set(func() {
			o.header = []string{"Cache-Control", "max-age=20", "X-Round", "2", "Content-Type", "text/b", "Set-Cookie", "a=b"}
		})
		a := call(t, rt, "GET /")
		if a.status != 200 || a.body != "answer 1" || a.header.Get("X-Round") != "2" || a.header.Get("Content-Type") != "text/a" ||
			a.header.Get("Cache-Status") != "gabion; fwd=stale; fwd-status=304" || a.header.Get("Set-Cookie") != "a=b" {
			t.Errorf("confirmed: %+v", a)
		}
		if h := o.asked[1]; h.Get("If-None-Match") != `"v1"` || h.Get("If-Modified-Since") == "" {
			t.Errorf("asked with %v", h)
		}
		time.Sleep(19 * time.Second)
		if a := call(t, rt, "GET /"); a.body != "answer 1" || o.count() != 2 || a.header.Get("Set-Cookie") != "" {
			t.Errorf("fresh again: %+v after %d calls", a, o.count())
		}
		time.Sleep(2 * time.Second)
		o.set(func() { o.etag, o.header = `"v2"`, []string{"Cache-Control", "max-age=20"} })
		if a := call(t, rt, "GET /"); a.body != "answer 3" || a.header.Get("Cache-Status") != "gabion; fwd=stale" {
			t.Errorf("changed: %+v", a)
		}
		if a := call(t, rt, "GET /"); a.body != "answer 3" || o.count() != 3 {
			t.Errorf("stored: %+v", a)
		}
	})
}

// The caller's own condition is answered from what is fresh, and passed on else.
func TestCallersConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=10", "Last-Modified", "-60s"}, etag: `"v1"`}
		rt := open(t, cache.Settings{}, o)
		call(t, rt, "GET /")
		for _, c := range []struct {
			name, value string
			status      int
		}{
			{"If-None-Match", `"v0", W/"v1"`, 304}, {"If-None-Match", "*", 304}, {"If-None-Match", `"v0"`, 200},
			{"If-Modified-Since", "-60s", 304}, {"If-Modified-Since", "-61s", 200}, {"If-Modified-Since", "never", 200},
		} {
			if a := call(t, rt, "GET /", c.name, c.value); a.status != c.status || (a.body == "") != (c.status == 304) {
				t.Errorf("%s %s: got %d %q, want %d", c.name, c.value, a.status, a.body, c.status)
			}
		}
		if o.count() != 1 {
			t.Errorf("%d calls, want 1", o.count())
		}
		time.Sleep(time.Minute)
		if a := call(t, rt, "GET /", "If-None-Match", `"v1"`); a.status != 304 || o.count() != 2 {
			t.Errorf("passed on: %d", a.status)
		}
		if a := call(t, rt, "GET /"); a.status != 200 || a.body != "answer 1" {
			t.Errorf("a 304 to somebody else's copy: %+v", a)
		}
	})
}

func TestStaleIfError(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		says   string
		asks   []string
		err    error
		status int
		wait   time.Duration
		stale  bool
	}{
		"error":               {says: "max-age=10, stale-if-error=60", err: down, wait: 30 * time.Second, stale: true},
		"503":                 {says: "max-age=10, stale-if-error=60", status: 503, wait: 30 * time.Second, stale: true},
		"404 is an answer":    {says: "max-age=10, stale-if-error=60", status: 404, wait: 30 * time.Second},
		"too old":             {says: "max-age=10, stale-if-error=60", err: down, wait: 71 * time.Second},
		"not allowed":         {says: "max-age=10", err: down, wait: 30 * time.Second},
		"by the request":      {says: "max-age=10", asks: []string{"Cache-Control", "stale-if-error=60"}, err: down, wait: 30 * time.Second, stale: true},
		"but must-revalidate": {says: "max-age=10, stale-if-error=60, must-revalidate", err: down, wait: 30 * time.Second},
		"but no-cache":        {says: "max-age=10, stale-if-error=60, no-cache", err: down, wait: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, etag := range []string{"", `"v1"`} {
					o := &origin{header: []string{"Cache-Control", c.says}, etag: etag}
					rt := open(t, cache.Settings{}, o)
					call(t, rt, "GET /")
					time.Sleep(c.wait)
					o.set(func() { o.err, o.status, o.etag = c.err, c.status, "" })
					a, err := try(t.Context(), rt, "GET /", c.asks...)
					if got := err == nil && a.body == "answer 1"; got != c.stale {
						t.Errorf("with ETag %q: stale: %v, want %v (%+v, %v)", etag, got, c.stale, a, err)
					}
					if c.stale && (a.header.Get("Age") != "30" || a.header.Get("Cache-Status") != "gabion; fwd=stale; detail=stale-if-error") {
						t.Errorf("header %v", a.header)
					}
				}
			})
		})
	}
}

func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=10, stale-while-revalidate=60"}, etag: `"v1"`}
		rt := open(t, cache.Settings{}, o)
		call(t, rt, "GET /")
		time.Sleep(20 * time.Second)
		o.set(func() { o.takes = time.Second; o.etag = `"v2"` })
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			if a, err := try(ctx, rt, "GET /", "Traceparent", strconv.Itoa(o.count())); err != nil || a.body != "answer 1" || a.header.Get("Cache-Status") != "gabion; hit; ttl=-10" {
				t.Fatalf("got %+v, %v", a, err)
			}
		}
		cancel() // the callers leave; the validation goes on
		if time.Since(start) != 0 {
			t.Errorf("callers waited for %v", time.Since(start))
		}
		time.Sleep(2 * time.Second)
		if a := call(t, rt, "GET /"); a.body != "answer 2" || o.count() != 2 {
			t.Errorf("afterwards: %+v after %d calls", a, o.count())
		}
		time.Sleep(71 * time.Second)
		if a := call(t, rt, "GET /"); a.body == "" || a.header.Get("Cache-Status") == "" || o.count() != 3 || time.Since(start) != 74*time.Second {
			t.Errorf("too old: %+v after %d calls", a, o.count())
		}
	})
}

// Close ends what goes on in the background.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=1, stale-while-revalidate=60"}}
		rt := open(t, cache.Settings{}, roundTripper(func(req *http.Request) (*http.Response, error) {
			if o.count() > 0 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return o.RoundTrip(req)
		}))
		call(t, rt, "GET /")
		time.Sleep(10 * time.Second)
		call(t, rt, "GET /")
		start := time.Now()
		rt.Close()
		if time.Since(start) != 0 {
			t.Errorf("it took %v", time.Since(start))
		}
		if a := call(t, rt, "GET /"); a.body != "answer 1" {
			t.Errorf("afterwards: %+v", a)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestInvalidation(t *testing.T) {
	for name, c := range map[string]struct {
		write  string
		status int
		header []string
		gone   bool
	}{
		"PUT":                      {write: "PUT /a", gone: true},
		"unknown method":           {write: "SHAKE /a", gone: true},
		"redirect":                 {write: "POST /a", status: 303, gone: true},
		"failed":                   {write: "PUT /a", status: 500},
		"refused":                  {write: "PUT /a", status: 404},
		"OPTIONS":                  {write: "OPTIONS /a"},
		"elsewhere":                {write: "PUT /b"},
		"another query":            {write: "PUT /a?x=1"},
		"Location":                 {write: "POST /b", status: 201, header: []string{"Location", "/a"}, gone: true},
		"Content-Location":         {write: "POST /b/c", header: []string{"Content-Location", "http://pricing/a"}, gone: true},
		"Location of another host": {write: "POST /b", header: []string{"Location", "http://cart/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origin{header: []string{"Cache-Control", "max-age=60", "Vary", "Accept"}}
				rt := open(t, cache.Settings{}, o)
				for _, kind := range []string{"a/b", "c/d"} {
					call(t, rt, "GET /a", "Accept", kind)
				}
				o.set(func() { o.status, o.header = c.status, c.header })
				call(t, rt, c.write)
				time.Sleep(time.Second)
				o.set(func() { o.status, o.header = 200, []string{"Cache-Control", "max-age=60", "Vary", "Accept"} })
				before := o.count()
				for _, kind := range []string{"a/b", "c/d"} {
					call(t, rt, "GET /a", "Accept", kind)
				}
				if got := o.count() > before; got != c.gone {
					t.Errorf("gone: %v, want %v", got, c.gone)
				}
				after := o.count()
				call(t, rt, "GET /a", "Accept", "a/b")
				if o.count() != after {
					t.Error("it is not stored again")
				}
			})
		})
	}
}

// A response that was on its way when a write succeeded is not stored.
func TestAWriteOvertakesARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Cache-Control", "max-age=60"}}
		rt := open(t, cache.Settings{}, roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := o.RoundTrip(req)
			if req.Method == http.MethodGet && o.count() == 1 {
				time.Sleep(time.Second)
			}
			return resp, err
		}))
		done := make(chan answer)
		go func() { done <- call(t, rt, "GET /") }()
		time.Sleep(500 * time.Millisecond)
		call(t, rt, "PUT /")
		<-done
		if a := call(t, rt, "GET /"); a.body == "answer 1" {
			t.Error("what was read before the write is served after it")
		}
	})
}

// Only what was read to its end is stored, and only what is small enough.
func TestWholeBodies(t *testing.T) {
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
		read   int64
		stored bool
	}{
		"whole":            {strings.NewReader("12345"), -1, 100, true},
		"as long as said":  {strings.NewReader("12345"), 5, 5, true},
		"closed early":     {strings.NewReader("12345"), -1, 4, false},
		"broken":           {io.MultiReader(strings.NewReader("123"), failing{}), -1, 100, false},
		"too short":        {strings.NewReader("123"), 5, 100, false},
		"too large":        {strings.NewReader(strings.Repeat("x", 101)), -1, 1000, false},
		"said to be large": {strings.NewReader(strings.Repeat("x", 101)), 101, 1000, false},
		"empty":            {strings.NewReader(""), 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			rt := open(t, cache.Settings{MaxEntryBytes: 100}, roundTripper(func(req *http.Request) (*http.Response, error) {
				calls++
				return &http.Response{
					StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=60"}}, Body: io.NopCloser(c.body), ContentLength: c.length, Request: req,
				}, nil
			}))
			req, err := http.NewRequest(http.MethodGet, "http://pricing/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				io.CopyN(io.Discard, resp.Body, c.read)
				resp.Body.Close()
			}
			if got := calls == 1; got != c.stored {
				t.Errorf("stored: %v, want %v", got, c.stored)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestHeuristic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{header: []string{"Last-Modified", "-100s"}}
		rt := open(t, cache.Settings{Heuristic: true}, o)
		call(t, rt, "GET /")
		time.Sleep(9 * time.Second)
		call(t, rt, "GET /")
		if o.count() != 1 {
			t.Error("not used for a tenth of 100s")
		}
		time.Sleep(time.Second)
		call(t, rt, "GET /")
		if o.count() != 2 {
			t.Error("used for longer")
		}
	})
}

// Whatever is asked for, the entries stay within their bytes.
func TestBytesAreBounded(t *testing.T) {
	rtCalls := roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=60"}}, ContentLength: 10_000, Request: req,
			Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 10_000))),
		}, nil
	})
	c, err := cache.New(cache.Settings{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	rt := c.Transport(rtCalls)
	defer rt.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				if _, err := try(t.Context(), rt, fmt.Sprintf("GET /%d", i), "Authorization", strconv.Itoa(g)); err != nil {
					t.Error(err)
				}
				if n := c.Stats().Bytes; n > 1<<20+1<<17 {
					t.Errorf("%d bytes", n)
				}
			}
		})
	}
	wg.Wait()
	if n := c.Stats().Bytes; n > 1<<20 || n < 1<<19 {
		t.Errorf("%d bytes at the end, want up to 1 MiB", n)
	}
	c.Clear()
	if n := c.Stats().Bytes; n != 0 {
		t.Errorf("%d bytes after Clear", n)
	}
}

func TestSettings(t *testing.T) {
	_, err := cache.New(cache.Settings{MaxBytes: -1, MaxEntryBytes: -1, Validate: -1, Name: "a b"})
	for _, want := range []string{"MaxBytes", "MaxEntryBytes", "Validate", "Name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	c, err := cache.New(cache.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	o := &origin{header: []string{"Cache-Control", "max-age=3600", "Content-Type", "application/json"}}
	rt := c.Transport(o)
	defer rt.Close()
	if _, err := try(b.Context(), rt, "GET /v1/quote"); err != nil {
		b.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodGet, "http://pricing/v1/quote", nil)
	req.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	if o.count() != 1 {
		b.Errorf("%d calls", o.count())
	}
}
