package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

// replayBody gives every attempt of a call the complete request body, or says
// that it cannot.
type replayBody struct {
	req   *http.Request
	data  []byte // the whole body, when it was read up front
	held  bool   // data is what is sent
	first *onceBody
	used  bool  // the first attempt has taken its body
	err   error // of making it again
}

// init prepares the body. A body of known length within the policy's cap is
// read up front, until ctx ends, unless the request can make new ones itself.
func (b *replayBody) init(ctx context.Context, p *retry.Policy) error {
	req := b.req
	if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil {
		return nil
	}
	if req.ContentLength <= 0 || req.ContentLength > int64(p.BodyCap()) || p.MaxAttempts() < 2 {
		b.first = &onceBody{rc: req.Body}
		return nil
	}
	data := make([]byte, req.ContentLength)
	read := make(chan error, 1)
	shut := sync.OnceFunc(func() { _ = req.Body.Close() }) // what was wanted of it is here, or never will be
	go func() {
		read <- readExactly(req.Body, data) // it may block for as long as it likes
		shut()
	}()
	select {
	case err := <-read:
		b.data, b.held = data, err == nil
		return err
	case <-ctx.Done():
		go shut() // which frees some bodies from their Read; others wait for it
		return fmt.Errorf("read request body: %w", context.Cause(ctx))
	}
}

// readExactly fills data from r, which must hold just as much.
func readExactly(r io.Reader, data []byte) error {
	_, err := io.ReadFull(r, data)
	extra := 0
	if err == nil {
		extra, _ = io.ReadFull(r, make([]byte, 1))
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("request body is shorter than its Content-Length of %d", len(data))
	case err != nil:
		return fmt.Errorf("read request body: %w", err)
	case extra > 0:
		return fmt.Errorf("request body is longer than its Content-Length of %d", len(data))
	}
	return nil
}

// next returns the body of the next attempt, whose context is ctx. It must not
// be called again unless again has said so.
func (b *replayBody) next(ctx context.Context) io.ReadCloser {
	used := b.used
	b.used = true
	switch {
	case b.held:
		return io.NopCloser(bytes.NewReader(b.data))
	case b.first != nil:
		return b.first.lease(ctx)
	case b.req.Body == nil || b.req.Body == http.NoBody:
		return b.req.Body
	case !used:
		return b.req.Body
	}
	body, err := b.req.GetBody()
	if err != nil {
		b.err = fmt.Errorf("make the request body again: %w", err)
		return failedBody{b.err}
	}
	return body
}

// spare returns the body of an attempt that is made while another still has its
// own. The body must be repeatable.
func (b *replayBody) spare() (io.ReadCloser, error) {
	switch {
	case b.held:
		return io.NopCloser(bytes.NewReader(b.data)), nil
	case b.req.Body == nil || b.req.Body == http.NoBody:
		return b.req.Body, nil
	default:
		return b.req.GetBody()
	}
}

// repeatable reports whether several attempts can send the body at once.
func (b *replayBody) repeatable() bool {
	return b.held || b.req.Body == nil || b.req.Body == http.NoBody || b.req.GetBody != nil
}

// copyable reports whether copy can return the body, and it has at most limit
// bytes.
func (b *replayBody) copyable(limit int) bool {
	if b.req.Body == nil || b.req.Body == http.NoBody || b.held {
		return true
	}
	return b.req.GetBody != nil && b.req.ContentLength > 0 && b.req.ContentLength <= int64(limit)
}

// copy returns the whole body in memory of its own, or nil if there is none. It
// must be copyable.
func (b *replayBody) copy() ([]byte, error) {
	if b.held || b.req.Body == nil || b.req.Body == http.NoBody {
		return b.data, nil
	}
	body, err := b.req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("make the request body again: %w", err)
	}
	defer func() { _ = body.Close() }()
	data := make([]byte, b.req.ContentLength)
	return data, readExactly(body, data)
}

// rewind returns what net/http may use to send the body again by itself. It
// does so on a connection that died while idle: for a request that is not
// idempotent only when nothing was written, which is always right; for others
// at will, which the policy is there to decide.
func (b *replayBody) rewind(idempotent bool) func() (io.ReadCloser, error) {
	switch {
	case idempotent:
		return nil
	case b.held:
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.data)), nil }
	default:
		return b.req.GetBody
	}
}

// again reports whether the body can be sent once more, whole. If it can, the
// attempts before can no longer read it.
func (b *replayBody) again() bool { return b.first == nil || b.first.takeBack() }

// fault returns why the caller is to blame for an attempt that failed: its body
// could not be read or, if timeUp, was still being waited for. Otherwise it
// returns nil.
func (b *replayBody) fault(timeUp bool) error {
	if b.first == nil {
		return b.err
	}
	return b.first.fault(timeUp)
}

// close ends the use of the body.
func (b *replayBody) close() {
	switch {
	case b.first != nil:
		b.first.close()
	case !b.used && b.req.Body != nil && !b.held:
		_ = b.req.Body.Close()
	}
}

// failedBody is a body that cannot be read.
type failedBody struct{ err error }

func (b failedBody) Read([]byte) (int, error) { return 0, b.err }
func (b failedBody) Close() error             { return nil }

// responseBody is the body of the response that the caller gets. The attempt
// and the call end with it.
type responseBody struct {
	attempt *attempt
	rc      io.ReadCloser
	limit   int64 // of bytes; 0 is none
	n       int64 // bytes read
	ended   atomic.Bool
}

// writableBody is the body of a response that switched protocols.
type writableBody struct {
	*responseBody
	io.Writer
}

func newResponseBody(a *attempt) io.ReadCloser {
	b := &a.body
	b.attempt, b.rc = a, a.resp.Body
	if a.resp.Body == http.NoBody {
		b.end(nil)
		return http.NoBody
	}
	if w, ok := a.resp.Body.(io.Writer); ok {
		return writableBody{b, w} // the connection is the caller's now, without limit
	}
	a.onBody = true
	b.limit = a.call.rules.bytes
	a.alarm.set(a, a.call.deadline)
	if (a.resp.ContentLength == 0 || a.call.req.Method == http.MethodHead) && b.empty() {
		return http.NoBody
	}
	return b
}

// empty reads to the end of a body that should have nothing in it, so that the
// call has ended whether or not the caller closes it. Over HTTP/2 trailers may
// come with that end, which are gRPC's whole answer to some calls. If something
// goes wrong before it comes, later reads tell.
func (b *responseBody) empty() bool {
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return false
	}
	_ = b.Close() // there is nothing in it
	return true
}

// expire ends the call when its time is up, even if nobody reads the body.
func (b *responseBody) expire() {
	late := b.attempt.call.late()
	b.attempt.cancel(late)
	b.end(late)
}

// Read reads the body. When it ends, well or not, so does the call.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	b.n += int64(n)
	if b.limit > 0 && b.n > b.limit {
		over := b.n - b.limit
		n -= int(min(over, int64(n)))
		err = fmt.Errorf("%w: more than %d bytes", ErrBodyTooLarge, b.limit)
		b.attempt.cancel(err)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.end(nil)
	default:
		err = b.attempt.cause(err)
		b.end(err)
	}
	return n, err
}

// Close ends the call. A caller that closes early has what it wanted: that is
// no failure.
func (b *responseBody) Close() error {
	b.end(nil)
	return b.rc.Close()
}

func (b *responseBody) end(err error) {
	if !b.ended.CompareAndSwap(false, true) {
		return
	}
	a, k := b.attempt, b.attempt.call
	if err != nil {
		a.outcome = k.bodyOutcome(err)
		err = &Error{Service: k.svc.name, Instance: a.info.Instance.ID, Attempts: k.n, Sent: true, Err: err}
	}
	now := time.Now()
	defer k.end(now, err, a.outcome) // whatever an observer does
	a.end(now, err)
}

// bodyOutcome sorts an error of the response body.
func (k *call) bodyOutcome(err error) Outcome {
	switch {
	case k.gone() != nil || errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, ErrTimeout):
		return Timeout
	default:
		return Failure
	}
}
