package coalesce

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// errNotShared tells a caller that the response is another's alone.
var errNotShared = errors.New("coalesce: response not shared")

// flight is one call and those who wait for it.
type flight struct {
	ctx    *flightContext
	cancel context.CancelFunc
	begun  time.Time // deadline of the first caller; zero if it has none
	done   chan struct{}

	mu      sync.Mutex
	waiting int  // callers that have not left
	left    bool // the first caller has
	closed  bool // nobody can join any more
	over    bool // what follows is set, and done is closed or about to be

	resp  *http.Response // without its body, unless it is live
	live  bool           // resp is for the first caller alone, and its body is open
	body  []byte
	err   error
	panic *PanicError
}

// flightContext is the context of a shared call: it has the values of the first
// caller's, ends when all have left, and tells the latest of their deadlines.
type flightContext struct {
	context.Context
	mu       sync.Mutex
	deadline time.Time
	endless  bool // somebody has no deadline
}

// Deadline returns the latest deadline of those who have joined so far.
func (c *flightContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, !c.endless
}

func (c *flightContext) extend(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := ctx.Deadline()
	c.endless = c.endless || !ok
	if d.After(c.deadline) {
		c.deadline = d
	}
}

func newFlight(ctx context.Context) *flight {
	f := &flight{done: make(chan struct{}), waiting: 1}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.ctx, f.cancel = &flightContext{Context: inner}, cancel
	f.ctx.extend(ctx)
	f.begun, _ = ctx.Deadline()
	return f
}

// join adds a caller, unless it is too late for that.
func (f *flight) join(ctx context.Context) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.waiting == 0 {
		return false
	}
	f.waiting++
	f.ctx.extend(ctx)
	return true
}

// alone reports whether nobody waits but the first caller. Nobody can join then.
func (f *flight) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = f.waiting == 0 || f.waiting == 1 && !f.left
	return f.closed
}

// wait returns what the call brings to this caller, or why it has given up.
func (f *flight) wait(req *http.Request, first bool) (*http.Response, error) {
	select {
	case <-f.done:
	case <-req.Context().Done():
		f.leave(first)
		return nil, context.Cause(req.Context())
	}
	switch {
	case f.panic != nil:
		panic(f.panic)
	case f.err != nil:
		return nil, f.err
	case f.live && first:
		return f.own(req), nil
	case f.live:
		return nil, errNotShared
	default:
		return f.copy(req), nil
	}
}

// leave takes a caller out. The last one ends the call.
func (f *flight) leave(first bool) {
	f.mu.Lock()
	f.waiting--
	f.left = f.left || first
	last, unwanted := f.waiting == 0, f.over && f.live && first
	f.mu.Unlock()
	if last {
		f.cancel()
	}
	if unwanted {
		f.drop()
	}
}

// drop closes a response that its owner did not wait for.
func (f *flight) drop() {
	f.cancel()
	_ = f.resp.Body.Close() // nobody is left to tell
}

// copy returns the response for one of several callers.
func (f *flight) copy(req *http.Request) *http.Response {
	resp := *f.resp
	resp.Request = req
	resp.Header, resp.Trailer = f.resp.Header.Clone(), f.resp.Trailer.Clone()
	resp.TransferEncoding = slices.Clone(f.resp.TransferEncoding)
	resp.Body = http.NoBody
	if len(f.body) > 0 {
		resp.Body = io.NopCloser(bytes.NewReader(f.body))
	}
	return &resp
}

// own returns the response to the only caller that it is for.
func (f *flight) own(req *http.Request) *http.Response {
	f.resp.Request = req
	ctx := req.Context()
	f.resp.Body = &ownBody{ReadCloser: f.resp.Body, ctx: ctx, cancel: f.cancel, stop: context.AfterFunc(ctx, f.cancel)}
	return f.resp
}

// ownBody is the body of a response that one caller has for itself: the call
// ends when it is closed, or with the caller's context.
type ownBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelFunc
	stop   func() bool
}

// Read reads the body. It fails for the caller's reason when it was the caller
// that ended the call.
func (b *ownBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if err != io.EOF && b.ctx.Err() != nil { //nolint:errorlint // a Reader's end is io.EOF itself
			err = context.Cause(b.ctx)
		}
		b.end()
	}
	return n, err
}

// Close ends the call.
func (b *ownBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *ownBody) end() {
	b.stop()
	b.cancel()
}

// tooEarly reports whether err came about because the time that the call was
// begun with has passed, while a caller with ctx has more.
func (f *flight) tooEarly(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && later(ctx, f.begun)
}

// run makes the call and gives its outcome to those who wait.
func (f *flight) run(t *Transport, id string, req *http.Request) {
	defer f.finish(t, id)
	defer func() {
		if v := recover(); v != nil {
			f.panic = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	// This stands if it calls runtime.Goexit.
	f.err = errors.New("coalesce: the shared call ended without returning")
	resp, err := t.direct(req) //nolint:bodyclose // whoever gets it closes it, or drop
	f.err = err
	if err != nil {
		return
	}
	f.resp = resp
	if f.alone() || !t.shareable(req, resp) {
		f.live = true
		return
	}
	f.read(t.settings.MaxBytes)
}

// read reads the body for all. If it is too large, the first caller gets what
// was read and then the rest.
func (f *flight) read(most int64) {
	body := f.resp.Body
	var buf bytes.Buffer
	if n := f.resp.ContentLength; n > 0 && n <= most {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(body, most+1))
	if err == nil && int64(buf.Len()) > most {
		f.live = true
		f.resp.Body = &prefixedBody{io.MultiReader(&buf, body), body}
		return
	}
	_ = body.Close() // it has been read to its end, well or not
	f.resp.Body, f.body = nil, buf.Bytes()
	if err != nil {
		f.resp, f.err = nil, err
	}
}

// prefixedBody is a body of which some has been read.
type prefixedBody struct {
	io.Reader
	io.Closer
}

// finish ends the flight. The context of a response that is the first caller's
// alone lives until its body is closed.
func (f *flight) finish(t *Transport, id string) {
	t.leave(id, f)
	f.mu.Lock()
	f.closed, f.over = true, true
	unwanted := f.live && f.left
	f.mu.Unlock()
	close(f.done)
	switch {
	case unwanted:
		f.drop()
	case !f.live:
		f.cancel()
	}
}
