package limit

import "time"

// A Waiter is a request that waits in the queue of an [Adaptive] limiter,
// without a goroutine that does: see [Adaptive.Enter].
type Waiter struct {
	limiter    *Adaptive
	turn       *turn   // in which it waits, while queued
	prev, next *Waiter // in that turn, while queued; next in a chain after
	patience   time.Duration

	// How to tell: one of the two.
	told func(Ticket, error)
	done chan *ShedError // gets nil when a place is granted; holds one
}

// Enter is [Adaptive.Acquire] for callers that cannot block, such as an event
// loop. If a place or a refusal comes at once, they are as from Acquire and the
// Waiter is nil. Otherwise the request is queued and told is called, once, with
// what Acquire would return when the limiter decides: by whoever makes room or
// needs it, with no lock held, possibly before Enter returns. told must not be
// nil.
//
// Time is the caller's business: unless told has been called, Leave takes the
// request out of the queue after [Waiter.Patience], or earlier if nobody waits
// for its answer any more.
func (a *Adaptive) Enter(c Criticality, told func(Ticket, error)) (Ticket, *Waiter, error) {
	return a.EnterFrom(c, "", told)
}

// EnterFrom is Enter for a request of the named client, as in
// [Adaptive.AcquireFrom].
func (a *Adaptive) EnterFrom(c Criticality, client string, told func(Ticket, error)) (Ticket, *Waiter, error) {
	t, w, refused := a.enter(time.Now(), c, client, told)
	if refused != nil {
		return Ticket{}, nil, refused
	}
	return t, w, nil
}

// Patience returns how long the request may be in the queue, from Enter on.
func (w *Waiter) Patience() time.Duration { return w.patience }

// Leave takes the request out of the queue and returns the refusal that it
// ends with, a [*ShedError] for [ReasonQueueTimeout]. It returns nil if the
// limiter has decided before, or Leave was called before: then told has been
// called or is about to be, or never will be, and Leave changes nothing.
func (w *Waiter) Leave() error {
	if w.remove() {
		return errQueueTimeout
	}
	return nil
}

// remove takes w out of the queue and reports whether it was in.
func (w *Waiter) remove() bool {
	w.limiter.mu.Lock()
	defer w.limiter.mu.Unlock()
	return w.limiter.queue.remove(w)
}

// tell passes on what the limiter has decided; nil is a place. The limiter's
// lock must not be held.
func (w *Waiter) tell(refused *ShedError) {
	switch {
	case w.told == nil:
		w.done <- refused
	case refused != nil:
		w.told(Ticket{}, refused)
	default:
		w.told(Ticket{limiter: w.limiter, start: time.Now()}, nil)
	}
}

// A chain is waiters that got a place, in that order.
type chain struct{ first, last *Waiter }

func (c *chain) add(w *Waiter) {
	if c.first == nil {
		c.first = w
	} else {
		c.last.next = w
	}
	c.last = w
}

func (c chain) tell() {
	for w := c.first; w != nil; {
		next := w.next // whoever is told may do anything with w
		w.next = nil
		w.tell(nil)
		w = next
	}
}
