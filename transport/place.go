package transport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// slowSender is how long a Read of a request's body may take before the
// request gives up its place until its body has come.
const slowSender = 10 * time.Millisecond

// place is a request's place among those that are worked on. It is safe for
// concurrent use, as a handler may read and flush at once.
type place struct {
	limiter *limit.Adaptive
	client  string // whose request it is; empty if that is nothing to go by

	mu      sync.Mutex
	ticket  limit.Ticket
	class   limit.Criticality
	held    bool // it was had, and is neither given up nor given back
	reading bool // the body is being waited for
	away    bool // given up until the body has come
	stream  bool // given up for good
	over    bool // given back: who still reads the body gets none again
	spare   bool // it was had only because the limit shadows
}

// acquire takes a place for a request whose ctx has not ended by now, which is the
// present, and returns when it was had.
func (p *place) acquire(ctx context.Context, now time.Time) (time.Time, error) {
	t, err := p.limiter.AcquireAt(ctx, now, p.class, p.client)
	if err != nil {
		return time.Time{}, err
	}
	return t.Start(), p.take(t, nil)
}

// take makes t the ticket of the place, if there is no err, which it returns.
func (p *place) take(t limit.Ticket, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ticket, p.away, p.spare = t, false, p.spare || t.Shadowed()
	switch { // what has happened while it waited
	case p.over:
		p.ticket.Release(limit.Ignored)
	case p.stream:
		p.ticket.Stream()
	default:
		p.held = err == nil
	}
	return err
}

// visit waits for a place as acquire does, and leaves it to others at once: it
// tells whether there is one.
func (p *place) visit(ctx context.Context) error {
	t, err := p.limiter.AcquireFrom(ctx, p.class, p.client)
	t.Release(limit.Ignored)
	return err
}

// streams gives the place up for good.
func (p *place) streams() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream, p.held = true, false
	p.ticket.Stream()
}

// leave gives the place up if the body is still being waited for.
func (p *place) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reading && p.held {
		p.held, p.away = false, true
		p.ticket.Stream()
	}
}

// read notes whether the body is being waited for.
func (p *place) read(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = on
}

// comeBack takes a place again if it was given up for the body.
func (p *place) comeBack(ctx context.Context) error {
	p.mu.Lock()
	back := p.away && !p.stream && !p.over
	if back {
		p.ticket.Release(limit.Ignored)
	}
	p.mu.Unlock()
	if !back {
		return nil
	}
	t, err := p.limiter.AcquireFrom(ctx, p.class, p.client)
	return p.take(t, err)
}

// release gives the place back at now and reports whether it was had only
// because the limit shadows.
func (p *place) release(now time.Time, o limit.Outcome) (spare bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.over = false, true
	p.ticket.ReleaseAt(now, o)
	return p.spare
}

// slowBody is a request body whose sender may be slow on purpose. While it is,
// the request holds no place; at the body's end it needs one again, and if
// there is none the Read fails with limit.ErrShed.
type slowBody struct {
	io.ReadCloser
	place *place
	ctx   context.Context
}

func (b slowBody) Read(p []byte) (int, error) {
	b.place.read(true)
	late := time.AfterFunc(slowSender, b.place.leave)
	n, err := b.ReadCloser.Read(p)
	late.Stop()
	b.place.read(false)
	if errors.Is(err, io.EOF) {
		if busy := b.place.comeBack(b.ctx); busy != nil {
			return n, busy
		}
	}
	return n, err
}
