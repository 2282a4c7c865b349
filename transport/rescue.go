package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/internal/httpmsg"
	"github.com/gabion-go/gabion/transport/retry"
)

// rescue is a call that failed, and the search for another answer.
type rescue struct {
	client   *Client
	svc      *service
	rules    *rules
	req      *http.Request
	deadline time.Time      // of the call
	resp     *http.Response // what the service answered
	err      error          // or why it did not
}

// substitute is one way to answer in the service's place. The error may be
// errNoLastGood.
type substitute struct {
	kind   FallbackKind
	answer func(*rescue) (*http.Response, error)
}

var errNoLastGood = errors.New("no good response is remembered")

// needed reports whether the call failed in a way that others can mend, and the
// caller still waits.
func (r *rescue) needed() bool {
	failed := r.err != nil && Unavailable(r.err) || r.err == nil && r.resp.StatusCode >= 500
	return failed && gone(r.req.Context()) == nil
}

// run returns the first answer that a substitute has, or else what the service
// gave.
func (r *rescue) run() (*http.Response, error) {
	subs := r.substitutes()
	if len(subs) == 0 {
		return r.resp, r.err
	}
	if !enter(&r.svc.rescues, r.rules.fallback.maxInFlight()) {
		r.tell(subs[0].kind, FallbackRefused, nil)
		return r.resp, r.err
	}
	defer r.svc.rescues.Add(-1)
	kept := false
	defer func() {
		if r.resp != nil && !kept { // also if a function panics
			discard(r.resp.Body)
		}
	}()
	errs := []error{r.err}
	for _, s := range subs {
		resp, err := r.try(s)
		if err == nil {
			return resp, nil
		}
		if !errors.Is(err, errNoLastGood) {
			errs = append(errs, err)
		}
		if gone(r.req.Context()) != nil {
			break
		}
	}
	switch {
	case r.err == nil:
		kept = true
		return r.resp, nil // the service's own answer is better than none
	case len(errs) == 1:
		return nil, r.err
	default:
		return nil, errors.Join(errs...)
	}
}

// enter counts one more, unless there are most of them.
func enter(n *atomic.Int64, most int64) bool {
	if n.Add(1) > most {
		n.Add(-1)
		return false
	}
	return true
}

// substitutes returns what can answer this call, in order.
func (r *rescue) substitutes() []substitute {
	var subs []substitute
	if r.client.fallback(r.svc.name) != nil {
		subs = append(subs, substitute{FallbackFunction, (*rescue).function})
	}
	f := &r.rules.fallback
	if !harmless(r.req) {
		return subs
	}
	if f.LastGood > 0 && remembered(r.req) {
		subs = append(subs, substitute{FallbackLastGood, (*rescue).lastGood})
	}
	if f.Service != "" {
		subs = append(subs, substitute{FallbackService, (*rescue).other})
	}
	if f.Value != nil {
		subs = append(subs, substitute{FallbackFixed, (*rescue).value})
	}
	return subs
}

// harmless reports whether req changes nothing, so that anybody may answer it.
func harmless(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return (req.Body == nil || req.Body == http.NoBody) && req.Header["Upgrade"] == nil
	}
	return false
}

// try asks one substitute, and tells the observer what came of it.
func (r *rescue) try(s substitute) (*http.Response, error) {
	resp, err := s.answer(r)
	switch {
	case errors.Is(err, errNoLastGood):
		r.tell(s.kind, FallbackMissing, nil)
	case err != nil:
		r.tell(s.kind, FallbackFailed, err)
	default:
		r.tell(s.kind, FallbackAnswered, nil)
		if resp.Body == nil {
			resp.Body = http.NoBody
		}
		resp.Request = r.req
	}
	return resp, err
}

// function asks the function of WithFallback.
func (r *rescue) function() (*http.Response, error) {
	resp, err := r.client.fallback(r.svc.name)(r.req.Context(), r.req, r.err)
	if err == nil && resp == nil {
		err = errors.New("transport: the fallback returned neither a response nor an error")
	}
	return resp, err
}

// lastGood looks for the last good response to the same request.
func (r *rescue) lastGood() (*http.Response, error) {
	if resp := r.svc.lastGood.find(r.req, r.rules.fallback.LastGood); resp != nil {
		resp.Header.Set(HeaderFallback, FallbackLastGood.String())
		return resp, nil
	}
	return nil, errNoLastGood
}

// other asks another service. What it answers with 5xx is no answer.
func (r *rescue) other() (*http.Response, error) {
	name := r.rules.fallback.Service
	if time.Until(r.deadline) < retry.MinAttempt {
		return nil, fmt.Errorf("transport: fallback to %q: %w", name, ErrTimeout)
	}
	u := *r.req.URL
	u.Host, u.User = name, nil
	out := (&http.Request{
		Method: r.req.Method, URL: &u, Header: r.req.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(boundContext{r.req.Context(), r.deadline})
	onlyForeign(out.Header)
	w, err := r.client.way(out)
	if err != nil {
		return nil, fmt.Errorf("transport: fallback: %w", err)
	}
	resp, err := startCall(w, out, true)
	if err != nil {
		return nil, fmt.Errorf("transport: fallback: %w", err)
	}
	if resp.StatusCode >= 500 {
		discard(resp.Body)
		return nil, fmt.Errorf("transport: fallback: %q answered with status %d", name, resp.StatusCode)
	}
	resp.Header.Set(HeaderFallback, FallbackService.String())
	return resp, nil
}

// boundContext is a context whose call has no more time than until deadline. It
// does not end then: the call does.
type boundContext struct {
	context.Context
	deadline time.Time
}

func (c boundContext) Deadline() (time.Time, bool) { return c.deadline, true }

// foreign are the header fields that may go to a service for which the request
// was not meant: nothing of them is anybody's credential.
var foreign = map[string]bool{
	"Accept": true, "Accept-Charset": true, "Accept-Encoding": true, "Accept-Language": true,
	"User-Agent": true, "X-Request-Id": true, "X-Correlation-Id": true,
	"Traceparent": true, "Tracestate": true, "X-Amzn-Trace-Id": true,
	"B3": true, "X-B3-Traceid": true, "X-B3-Spanid": true, "X-B3-Parentspanid": true,
	"X-B3-Sampled": true, "X-B3-Flags": true,
	HeaderTimeout: true, HeaderAttempt: true, HeaderCriticality: true,
}

// onlyForeign removes all other fields.
func onlyForeign(h http.Header) {
	for name := range h {
		if !foreign[name] {
			delete(h, name)
		}
	}
}

// value answers what the policy says.
func (r *rescue) value() (*http.Response, error) {
	v := r.rules.fallback.Value
	body, kind, status := []byte(v.Text), v.ContentType, v.Status
	if len(v.Body) > 0 {
		body = v.Body
	}
	if kind == "" {
		kind = "text/plain; charset=utf-8"
		if len(v.Body) > 0 {
			kind = "application/json"
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	h := http.Header{
		"Content-Length": {strconv.Itoa(len(body))},
		"Cache-Control":  {"no-store"}, HeaderFallback: {FallbackFixed.String()},
	}
	if len(body) > 0 {
		h.Set("Content-Type", kind)
		h.Set("X-Content-Type-Options", "nosniff")
	}
	return httpmsg.Response(r.req, status, h, body), nil
}

// tell tells the observer.
func (r *rescue) tell(kind FallbackKind, o FallbackOutcome, err error) {
	if obs, ok := r.client.observer.(FallbackObserver); ok {
		obs.Fallback(FallbackEvent{
			Service: r.svc.name, Route: r.rules.pattern, Method: r.req.Method, Resolved: r.svc.resolved.Load(),
			Kind: kind, Outcome: o, Err: err,
		})
	}
}
