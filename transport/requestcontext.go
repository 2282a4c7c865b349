package transport

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of a handler. It knows the state of the request
// and ends at the caller's deadline, if there is one. The timer and the channel
// that this takes cost more than all else that is done for a request, and few
// handlers wait for them: they are made for the first who does.
type requestContext struct {
	context.Context // of the request as it came

	state    *requestState
	deadline time.Time // zero if the context above knows none that is later

	mu     sync.Mutex
	timed  context.Context // ends at the deadline; nil before somebody waits for it
	cancel context.CancelFunc
	over   bool // the handler has returned
}

// bound makes c end at d, unless the request as it came ends before.
func (c *requestContext) bound(d time.Time) {
	if first, ok := c.Context.Deadline(); !ok || d.Before(first) {
		c.deadline = d
	}
}

// Deadline implements [context.Context].
func (c *requestContext) Deadline() (time.Time, bool) {
	if c.deadline.IsZero() {
		return c.Context.Deadline()
	}
	return c.deadline, true
}

// Done implements [context.Context].
func (c *requestContext) Done() <-chan struct{} { return c.inner(true).Done() }

// Err implements [context.Context].
func (c *requestContext) Err() error {
	if err := c.inner(false).Err(); err != nil {
		return err
	}
	if c.deadline.IsZero() || time.Until(c.deadline) > 0 {
		return nil
	}
	return c.inner(true).Err() // it is time, whether the timer has run yet or not
}

// ended reports whether c has ended by now, which is the present: it spares Err
// a look at the clock.
func (c *requestContext) ended(now time.Time) bool {
	return c.Context.Err() != nil || outOfTime(c, now)
}

// Value implements [context.Context].
func (c *requestContext) Value(key any) any {
	if _, ok := key.(requestStateKey); ok {
		return c.state
	}
	return c.inner(false).Value(key)
}

// inner returns the context that ends with the deadline, made if need be, or
// that of the request if there is none.
func (c *requestContext) inner(need bool) context.Context {
	if c.deadline.IsZero() {
		return c.Context
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		if !need && !c.over {
			return c.Context
		}
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.over {
			c.cancel()
		}
	}
	return c.timed
}

// end ends the context: its handler has returned.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}
