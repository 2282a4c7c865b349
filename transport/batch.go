package transport

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/gabion-go/gabion/internal/httpmsg"
	"github.com/gabion-go/gabion/internal/identity"
	"github.com/gabion-go/gabion/transport/collapse"
	"github.com/gabion-go/gabion/transport/limit"
)

// A BatchFunc answers many lookups with one call. The lookups are GETs without
// a body, all different; host and header are the same for all and theirs to
// copy, and [http.Request.PathValue] has the wildcards of the route's pattern.
// It makes its call through client, with the policy of whatever route that call
// matches, and returns an [Answer] to each lookup, in the same order. An error
// stands for every lookup. ctx tells the latest deadline of those who wait and
// ends when all of them have given up; it carries how much they matter, and
// nothing else of theirs.
type BatchFunc func(ctx context.Context, client http.RoundTripper, lookups []*http.Request) ([]Answer, error)

// An Answer is what a batch brought for one lookup.
type Answer struct {
	// Status of the response. Default 200.
	Status int
	Header http.Header
	Body   []byte
	// Err, if not nil, is why there is no response to this one.
	Err error
}

// WithBatch lets lookups of a service be answered many at a time, where its
// policy's route with this pattern says so ([Route.Collapse]).
func WithBatch(service, pattern string, fetch BatchFunc) ClientOption {
	return clientOption(func(c *clientConfig) {
		if c.batches == nil {
			c.batches = map[batchRoute]BatchFunc{}
		}
		c.batches[batchRoute{service, pattern}] = fetch
	})
}

// batchRoute is a route of a service.
type batchRoute struct{ service, pattern string }

// batches are the lookups that gather. Only those that differ in nothing but
// their URL do so together.
type batches struct {
	client *Client
	mu     sync.Mutex
	groups map[string]*batchGroup
}

// batchGroup is lookups that may be one call.
type batchGroup struct {
	callers   int // guarded by batches.mu
	collapser *collapse.Collapser[string, Answer]
}

// inBatchKey marks the context of a batch's call: such a call gathers with
// nobody.
type inBatchKey struct{}

// fetch returns what answers req among others, or nil if it is to be called by
// itself.
func (b *batches) fetch(w way, req *http.Request) BatchFunc {
	if w.rules.collapse == nil || req.Method != "" && req.Method != http.MethodGet || req.Body != nil && req.Body != http.NoBody ||
		req.URL.Opaque != "" || req.Context().Value(inBatchKey{}) != nil {
		return nil
	}
	for _, name := range [...]string{"Range", "Upgrade", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if req.Header[name] != nil {
			return nil
		}
	}
	return b.client.cfg.batches[batchRoute{w.svc.name, w.rules.pattern}]
}

// do answers req together with others.
func (b *batches) do(w way, req *http.Request, fetch BatchFunc) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), w.rules.timeout, ErrTimeout)
	defer cancel()
	id, g, err := b.join(w, req, fetch)
	if err != nil {
		return nil, &Error{Service: w.svc.name, Err: err}
	}
	defer b.leave(id, g)
	a, err := g.collapser.Do(ctx, req.URL.String())
	switch own := gone(req.Context()); {
	case err == nil:
		err = a.Err
	case own != nil: // the batch ends at the same moment, and may be the first to say so
		err = own
	case gone(ctx) != nil:
		err = ErrTimeout
	}
	if err != nil {
		return nil, &Error{Service: w.svc.name, Sent: true, Err: err, final: retriesMade(nil, err)}
	}
	h := a.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	return httpmsg.Response(req, cmp.Or(a.Status, http.StatusOK), h, a.Body), nil
}

// join adds a caller to the group of those like req.
func (b *batches) join(w way, req *http.Request, fetch BatchFunc) (string, *batchGroup, error) {
	like := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Scheme: req.URL.Scheme, User: req.URL.User, Host: req.URL.Host},
		Host: req.Host, Header: req.Header,
	}
	matters := criticalityOf(req)
	id := identity.Of(like, w.rules.pattern+" "+matters, identity.Incidental)
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[id]
	if g == nil {
		like.Header = req.Header.Clone()
		ask := batch{client: b.client, service: w.svc.name, pattern: w.rules.pattern, matters: matters, like: like, fetch: fetch}
		c, err := collapse.New(ask.run, *w.rules.collapse)
		if err != nil {
			return "", nil, err
		}
		g = &batchGroup{collapser: c}
		b.groups[id] = g
	}
	g.callers++
	return id, g, nil
}

// leave takes a caller out. A group without any is forgotten; batches of it that
// are under way end by themselves, since nobody waits for them.
func (b *batches) leave(id string, g *batchGroup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.callers--; g.callers == 0 {
		delete(b.groups, id)
	}
}

// batch asks for lookups that are alike.
type batch struct {
	client           *Client
	service, pattern string
	matters          string // a criticality, or empty
	like             *http.Request
	fetch            BatchFunc
}

// run asks for the lookups with these URLs.
func (b *batch) run(ctx context.Context, urls []string) (map[string]collapse.Result[Answer], error) {
	var gaveUp atomic.Bool
	ctx = context.WithValue(context.WithValue(ctx, inBatchKey{}, true), sharedKey{}, &gaveUp)
	if b.matters != "" {
		ctx = WithCriticality(ctx, limit.ParseCriticality(b.matters))
	}
	lookups := make([]*http.Request, len(urls))
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		lookups[i] = b.like.Clone(ctx)
		lookups[i].URL = u
		findValues(b.pattern, lookups[i])
	}
	answers, err := b.fetch(ctx, b.client, lookups)
	if err == nil && len(answers) != len(urls) {
		err = fmt.Errorf("transport: the batch function of %q, route %q, returned %d answers to %d lookups", b.service, b.pattern, len(answers), len(urls))
	}
	if err != nil {
		return nil, finally(err, gaveUp.Load())
	}
	results := make(map[string]collapse.Result[Answer], len(urls))
	for i, a := range answers {
		a.Err = finally(a.Err, gaveUp.Load())
		if a.Status >= 500 && gaveUp.Load() {
			a.Header = a.Header.Clone()
			if a.Header == nil {
				a.Header = http.Header{}
			}
			a.Header.Set(HeaderNoRetry, "1")
		}
		results[urls[i]] = collapse.Result[Answer]{Value: a}
	}
	return results, nil
}

// finalError is an error after all the retries that there will be.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// finally returns err so that it says, if that is so, that retrying has been
// done.
func finally(err error, gaveUp bool) error {
	if err == nil || !gaveUp {
		return err
	}
	return finalError{err}
}

// findValues sets the wildcards of pattern, which req matches, in req.
func findValues(pattern string, req *http.Request) {
	mux := http.NewServeMux()
	mux.Handle(pattern, routeHandler{})
	mux.ServeHTTP(nowhere{}, req)
}

// nowhere is a ResponseWriter to which nothing is written.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
