package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/gabion-go/gabion/transport/coalesce"
)

// WithCache gives the client a cache of responses for the routes that ask for
// one ([Route.Cache]). layer makes it around the RoundTripper that calls go
// through when they are not answered from the cache; it is called once. If what
// it returns is an [io.Closer], Close closes it. Package transport/cache, a
// module of its own, has one by RFC 9111:
//
//	responses, err := cache.New(cache.Settings{})
//	client, err := transport.NewClient(registry, transport.WithCache(responses.Layer))
func WithCache(layer func(http.RoundTripper) http.RoundTripper) ClientOption {
	return clientOption(func(c *clientConfig) { c.cache = layer })
}

// layers are what the calls of some routes go through: the cache first, then
// coalescing, then a batch, or the call itself.
type layers struct {
	client    *Client
	coalesced *coalesce.Transport
	cached    http.RoundTripper // nil if there is none
	batches   batches
}

// roundTripper is a function as a RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (l *layers) init(c *Client) {
	l.client = c
	l.batches = batches{client: c, groups: map[string]*batchGroup{}}
	l.coalesced = coalesce.New(roundTripper(l.call), coalesce.Settings{Identity: criticalityOf})
	if c.cfg.cache != nil {
		l.cached = c.cfg.cache(roundTripper(l.uncached))
	}
}

// criticalityOf is what the criticality of a request's context says: what a busy
// server would shed must not stand for what it would not.
func criticalityOf(req *http.Request) string {
	if c, ok := CriticalityOf(req.Context()); ok {
		return c.String()
	}
	if r := requestStateOf(req.Context()); r != nil {
		return r.criticality.String()
	}
	return ""
}

// do makes a call through the layers that its rules ask for. A write
// goes through the cache if any route has one, because it can make what is
// cached invalid.
func (l *layers) do(w way, req *http.Request) (resp *http.Response, err error) {
	r := w.rules
	switch {
	case l.cached != nil && (r.cache || r.invalidates && !harmless(req)):
		resp, err = l.cached.RoundTrip(req)
	case r.coalesce:
		resp, err = l.coalesced.RoundTrip(req)
	default:
		resp, err = l.single(w, req)
	}
	if retriesMade(resp, err) {
		noRetryAbove(req.Context())
	}
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok { // a caller that did not wait for a call that others share
			err = &Error{Service: w.svc.name, Err: err}
		}
	}
	return resp, err
}

// uncached is what lies beneath the cache.
func (l *layers) uncached(req *http.Request) (*http.Response, error) {
	w, err := l.client.way(req)
	if err != nil {
		return nil, err
	}
	if w.rules.coalesce {
		return l.coalesced.RoundTrip(req)
	}
	return l.single(w, req)
}

// single makes a call that is answered neither from the cache nor by another
// one, by itself or as part of a batch.
func (l *layers) single(w way, req *http.Request) (*http.Response, error) {
	if fetch := l.batches.fetch(w, req); fetch != nil {
		return l.batches.do(w, req, fetch)
	}
	return startCall(w, req, false)
}

// call is what lies beneath coalescing. The handlers of all who share the call
// are to know if retrying has been done, and not only that in whose context it
// is made: what they get says so.
func (l *layers) call(req *http.Request) (*http.Response, error) {
	w, err := l.client.way(req)
	if err != nil {
		return nil, err
	}
	var gaveUp atomic.Bool
	resp, err := l.single(w, req.WithContext(context.WithValue(req.Context(), sharedKey{}, &gaveUp)))
	if !gaveUp.Load() {
		return resp, err
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.final = true
	}
	if resp != nil {
		resp.Header.Set(HeaderNoRetry, "1")
	}
	return resp, err
}

// sharedKey finds, in the context of a call that is shared, what is set when it
// is given up.
type sharedKey struct{}

// retriesMade reports whether a call came to this after all the retries that
// there will be.
func retriesMade(resp *http.Response, err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.final {
		return true
	}
	if _, ok := errors.AsType[finalError](err); ok {
		return true
	}
	return resp != nil && resp.StatusCode >= 500 && first(resp.Header, HeaderNoRetry) != ""
}

// close ends what the cache does by itself.
func (l *layers) close() error {
	if c, ok := l.cached.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// validate reports every setting of p that makes no sense, or none for a client
// like this.
func (c *clientConfig) validate(p Policies) error {
	errs := []error{p.Validate(slices.Sorted(maps.Keys(c.pickers))...)}
	if err := c.validateLayers("", p.Default); err != nil {
		errs = append(errs, fmt.Errorf("transport: default policy: %w", err))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if err := c.validateLayers(name, p.Services[name]); err != nil {
			errs = append(errs, fmt.Errorf("transport: policy of %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// validateLayers reports routes of p, the policy of service or that of all others,
// that ask for a cache or for batches which are not there.
func (c *clientConfig) validateLayers(service string, p Policy) error {
	var errs []error
	for _, pattern := range p.patterns() {
		if p.Routes[pattern].Collapse != nil && !c.mayBatch(service, pattern) {
			errs = append(errs, fmt.Errorf("transport: policy: route %q: collapse: the client cannot make a batch of it: give it a function by transport.WithBatch", pattern))
		}
		if p.Routes[pattern].Cache && c.cache == nil {
			errs = append(errs, fmt.Errorf("transport: policy: route %q: cache: the client has none: give it one by transport.WithCache, such as that of transport/cache", pattern))
		}
	}
	return errors.Join(errs...)
}

// mayBatch reports whether there is a batch function for the route of service,
// or, if that is empty, of any.
func (c *clientConfig) mayBatch(service, pattern string) bool {
	for r, fetch := range c.batches {
		if fetch != nil && r.pattern == pattern && (service == "" || r.service == service) {
			return true
		}
	}
	return false
}
