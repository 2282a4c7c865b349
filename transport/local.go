package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/limit"
)

// localAddr stands where other endpoints have host:port.
const localAddr = "in-process"

// local is a handler in this process that is called like any endpoint.
type local struct {
	handler http.Handler
	weight  atomic.Int64
}

func newLocal(h http.Handler, weight int) *local {
	l := &local{handler: h}
	l.weight.Store(int64(weight))
	return l
}

func (l *local) instance(service string) discovery.Instance {
	return discovery.Instance{ID: "local:" + service, Service: service, Addr: localAddr, Weight: int(l.weight.Load())}
}

// SetLocalWeight changes the weight of the handler that [WithLocal] has added to
// service, from the next pick on: this is how calls move between this process
// and others while it runs. A negative weight leaves all of them to the others.
// The error is that there is no such handler.
func (c *Client) SetLocalWeight(service string, weight int) error {
	l := c.cfg.locals[service]
	if l == nil {
		return fmt.Errorf("transport: set local weight: no local handler of %q", service)
	}
	l.weight.Store(int64(weight))
	for _, s := range *c.services.Load() {
		if s.name == service {
			s.refresh()
		}
	}
	return nil
}

// RoundTrip runs the handler in a goroutine of its own and returns as soon as
// the response's header would be on the wire. The goroutine ends with the
// handler, whose context ends with the request's.
func (l *local) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	w := newLocalWriter(req, cancel)
	go w.serve(l.handler, w.incoming(ctx))
	select {
	case <-w.header:
	case <-req.Context().Done():
	}
	if req.Context().Err() != nil {
		cancel()
		// The handler may have answered at the same moment; its response is
		// nobody's now.
		_ = w.reader.CloseWithError(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	if w.err != nil {
		cancel()
		return nil, w.err
	}
	// A handler that is deaf to its context must not hold up who reads.
	context.AfterFunc(ctx, func() { _ = w.writer.CloseWithError(context.Cause(ctx)) })
	return w.resp, nil
}

// localContext is the context of a handler that is called in process. It ends
// with the caller's and has its values, but for what goes by request: a handler
// has a state of its own, whoever called it, and what that one wanted of its
// calls holds here as far as the header says so.
type localContext struct {
	context.Context
	state *requestState
}

// Value implements [context.Context].
func (c localContext) Value(key any) any {
	switch key.(type) {
	case requestStateKey:
		return c.state
	case criticalityKey, sharedKey, inBatchKey:
		return nil
	}
	return c.Context.Value(key)
}

// incoming returns the request as the handler sees it. A handler that is called
// from another's must not find that one's request in its context, but may ask
// whether its server drains.
func (w *localWriter) incoming(ctx context.Context) *http.Request {
	if s := requestStateOf(ctx); s != nil {
		w.state.server = s.server
	}
	w.state.criticality = limit.ParseCriticality(first(w.req.Header, HeaderCriticality))
	w.state.rated = w.req.Header[HeaderCriticality] != nil
	ctx = localContext{ctx, &w.state}
	in := w.req.Clone(ctx)
	in.RequestURI = w.req.URL.RequestURI()
	in.RemoteAddr = localAddr
	switch {
	case in.Body == nil:
		in.Body = http.NoBody
	case in.Body != http.NoBody && in.ContentLength == 0:
		in.ContentLength = -1 // to a client zero may mean that it is not known
	}
	if strings.EqualFold(in.Header.Get("Expect"), "100-continue") {
		in.Body = &expectedBody{ReadCloser: in.Body, wanted: func() { w.inform(http.StatusContinue, http.Header{}) }}
	}
	if in.Host == "" {
		in.Host = w.req.URL.Host
	}
	in.URL.Scheme, in.URL.Host = "", ""
	if w.trace.WroteHeaders != nil {
		w.trace.WroteHeaders()
	}
	return in
}

// expectedBody is a request's body that is sent once the handler wants it.
type expectedBody struct {
	io.ReadCloser
	wanted func() // nil once it is known
}

// Read reads the body.
func (b *expectedBody) Read(p []byte) (int, error) {
	if b.wanted != nil {
		b.wanted()
		b.wanted = nil
	}
	return b.ReadCloser.Read(p)
}

// localBody ends the handler's context when the caller closes it. The trailers
// come with its end.
type localBody struct {
	*io.PipeReader
	w       *localWriter
	trailer http.Header
}

// Read reads the body.
func (b *localBody) Read(p []byte) (int, error) {
	n, err := b.PipeReader.Read(p)
	if errors.Is(err, io.EOF) {
		maps.Copy(b.trailer, b.w.last)
	}
	return n, err
}

// Close gives the response up.
func (b *localBody) Close() error {
	b.w.cancel()
	return b.PipeReader.Close()
}
