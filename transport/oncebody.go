package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// onceChunk is how much of a body that cannot be made again is read at a time.
const onceChunk = 32 << 10

// onceBody is a body that cannot be made again. It is leased to one attempt
// after the other for as long as nothing of it has been read, and outlives the
// attempts that close it untouched.
//
// It is read by goroutines of its own, one for each Read: net/http waits for a
// Read under way before it gives up a request, and a body may block for ever.
type onceBody struct {
	rc  io.ReadCloser
	buf []byte // of the Read under way

	mu      sync.Mutex
	holder  *bodyLease // whose turn it is
	touched bool       // something of it can have been read
	reading bool
	closed  bool
	cut     bool // closed while reading
	err     error
}

// bodyLease is an attempt's use of a onceBody.
type bodyLease struct {
	body *onceBody
	ctx  context.Context
}

var errBodyTaken = errors.New("the request body is no longer this attempt's")

// lease gives the body to the attempt with context ctx.
func (b *onceBody) lease(ctx context.Context) *bodyLease {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holder = &bodyLease{b, ctx}
	return b.holder
}

// takeBack ends the lease if nothing was read, and reports whether so.
func (b *onceBody) takeBack() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.touched {
		return false
	}
	b.holder = nil
	return true
}

// fault returns the error of reading the body; if timeUp, also that it was still
// being waited for.
func (b *onceBody) fault(timeUp bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return fmt.Errorf("read request body: %w", b.err)
	case timeUp && (b.reading || b.cut):
		return fmt.Errorf("the request body did not come in time: %w", ErrTimeout)
	default:
		return nil
	}
}

// close closes the body, once. That frees some bodies from a Read under way;
// others wait for it, which nobody here must.
func (b *onceBody) close() {
	b.mu.Lock()
	again, reading := b.closed, b.reading
	b.closed, b.cut = true, b.cut || !again && reading
	b.mu.Unlock()
	switch {
	case again:
	case reading:
		go func() { _ = b.rc.Close() }()
	default:
		_ = b.rc.Close() // nothing can be done about it, as in net/http
	}
}

// Read reads the body if it is still the attempt's, until its context ends.
func (l *bodyLease) Read(p []byte) (int, error) {
	b := l.body
	b.mu.Lock()
	if b.holder != l || b.closed || b.reading {
		b.mu.Unlock()
		return 0, errBodyTaken
	}
	b.touched, b.reading = true, true
	if b.buf == nil {
		b.buf = make([]byte, onceChunk)
	}
	b.mu.Unlock()
	buf := b.buf[:min(len(p), len(b.buf))]
	type result struct {
		n   int
		err error
	}
	read := make(chan result, 1)
	go func() {
		n, err := b.rc.Read(buf)
		b.finished(err)
		read <- result{n, err}
	}()
	select {
	case r := <-read:
		return copy(p, buf[:r.n]), r.err
	case <-l.ctx.Done():
		return 0, context.Cause(l.ctx)
	}
}

// finished ends a Read.
func (b *onceBody) finished(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if err != nil && !errors.Is(err, io.EOF) && !b.closed {
		b.err = err
	}
}

// Close keeps an untouched body open: the call closes it at its end.
func (l *bodyLease) Close() error {
	b := l.body
	b.mu.Lock()
	mine := b.holder == l && b.touched
	b.mu.Unlock()
	if mine {
		b.close()
	}
	return nil
}
