package cache

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// validate asks the server whether e is still good, and answers with e or what
// the server has in its place.
func (t *Transport) validate(req *http.Request, e *entry, asks directives) (*http.Response, error) {
	asked := time.Now()
	out := req.Clone(req.Context())
	if tag := e.header.Get("Etag"); tag != "" {
		out.Header.Set("If-None-Match", tag)
	}
	if modified := e.header.Get("Last-Modified"); modified != "" {
		out.Header.Set("If-Modified-Since", modified)
	}
	resp, err := t.next.RoundTrip(out)
	if stale := t.insteadOfError(req, e, asks, resp, err); stale != nil {
		return stale, nil
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusNotModified {
		t.keep(req, resp, asked)
		t.forwardedAs(req, resp, "stale")
		return resp, nil
	}
	_ = resp.Body.Close() // a 304 has none
	if tag := resp.Header.Get("Etag"); tag != "" && e.header.Get("Etag") != "" && weak(tag) != weak(e.header.Get("Etag")) {
		t.cache.drop(req) // it is not e that has not been modified
		return t.fetch(req, req, "stale")
	}
	return t.confirmed(req, e, resp, asked), nil
}

// refetch makes the whole call anew, because there is nothing to ask with, or
// the caller asks about a copy of its own.
func (t *Transport) refetch(req *http.Request, e *entry, asks directives) (*http.Response, error) {
	asked := time.Now()
	resp, err := t.next.RoundTrip(req)
	if stale := t.insteadOfError(req, e, asks, resp, err); stale != nil {
		return stale, nil
	}
	if err != nil {
		return nil, err
	}
	t.keep(req, resp, asked)
	t.forwardedAs(req, resp, "stale")
	return resp, nil
}

// confirmed freshens e by the header of a 304 and answers with it.
func (t *Transport) confirmed(req *http.Request, e *entry, resp *http.Response, asked time.Time) *http.Response {
	t.cache.validated.Add(1)
	now := time.Now()
	fresh := t.cache.newEntry(resp, asked, now)
	cookies := fresh.header["Set-Cookie"] // for this caller only
	delete(fresh.header, "Set-Cookie")
	merged := e.header.Clone()
	for name, values := range fresh.header {
		if !ofBody[name] {
			merged[name] = values
		}
	}
	if fresh.header["Age"] == nil {
		delete(merged, "Age") // that was of the first response
	}
	next := &entry{status: e.status, header: merged, body: e.body, uncompressed: e.uncompressed, asked: asked, came: now}
	next.measure(&t.cache.settings)
	if next.storable(&t.cache.settings, getOf(req)) {
		t.cache.put(req, next)
	} else {
		t.cache.drop(req)
	}
	out := next.response(req, now)
	if cookies != nil {
		out.Header["Set-Cookie"] = slices.Clone(cookies)
	}
	t.mark(out, "fwd=stale; fwd-status=304")
	return out
}

// ofBody are header fields of a body that a 304 does not bring.
var ofBody = map[string]bool{
	"Content-Length": true, "Content-Encoding": true, "Content-Type": true, "Content-Range": true,
}

// getOf returns req as the GET whose response is stored: a HEAD confirms it too.
func getOf(req *http.Request) *http.Request {
	if req.Method == http.MethodGet || req.Method == "" {
		return req
	}
	get := *req
	get.Method = http.MethodGet
	return &get
}

// insteadOfError returns e if the server failed and e, though stale, may be used
// then (RFC 5861, 4), else nil.
func (t *Transport) insteadOfError(req *http.Request, e *entry, asks directives, resp *http.Response, err error) *http.Response {
	if err == nil {
		switch resp.StatusCode {
		case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			return nil
		}
	}
	now := time.Now()
	most, given := e.says.seconds("stale-if-error")
	if own, asked := asks.seconds("stale-if-error"); asked {
		most, given = max(most, own), true
	}
	if !given || e.strict(&t.cache.settings) || e.old(now)-e.lifetime > most || req.Context().Err() != nil {
		return nil
	}
	if resp != nil {
		_ = resp.Body.Close() // the caller gets another
	}
	t.cache.stale.Add(1)
	out := e.response(req, now)
	t.mark(out, "fwd=stale; detail=stale-if-error")
	return out
}

// validateLater asks in the background whether e is still good, unless that is
// under way.
func (t *Transport) validateLater(req *http.Request, e *entry) {
	id, ok := t.cache.keyOf(req)
	if !ok {
		return // it has been forgotten at this moment
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, busy := t.validating[id]; busy || t.closed || len(t.validating) >= maxValidations {
		return
	}
	t.validating[id] = struct{}{}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), t.cache.settings.Validate)
	stop := context.AfterFunc(t.ctx, cancel)
	in := getOf(req).Clone(ctx)
	for _, name := range []string{"Cache-Control", "Pragma", "If-None-Match", "If-Modified-Since"} {
		delete(in.Header, name) // these were the caller's
	}
	t.wg.Go(func() {
		defer func() {
			stop()
			cancel()
			t.mu.Lock()
			delete(t.validating, id)
			t.mu.Unlock()
		}()
		t.refresh(in, e)
	})
}

// refresh is validate for nobody.
func (t *Transport) refresh(req *http.Request, e *entry) {
	var resp *http.Response
	var err error
	if e.validators() {
		resp, err = t.validate(req, e, nil) //nolint:bodyclose // discard closes it
	} else {
		resp, err = t.refetch(req, e, nil) //nolint:bodyclose // discard closes it
	}
	if err != nil {
		return // e stays stale, and the next request asks again
	}
	discard(resp.Body, t.cache.settings.MaxEntryBytes) // reading it stores it
}
