package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Outcome is what became of an admitted request.
type Outcome int8

// The outcomes.
const (
	// Succeeded: the time it took says how busy the server is.
	Succeeded Outcome = iota
	// Dropped: it ran out of time, a sign of overload.
	Dropped
	// Ignored: the time it took says nothing, as with errors and with callers
	// that went away.
	Ignored
)

// overloadWait is the longest wait once the queue has been standing for
// Settings.QueueWait: from then on it does not take up a burst, it only adds
// delay.
const overloadWait = 50 * time.Millisecond

// Adaptive bounds the requests a server works on at once and finds the bound
// itself: see [NewAdaptive].
type Adaptive struct {
	seed      maphash.Seed // of clients' hashes: nobody outside can tell who meets whom
	queueCap  int
	queueWait time.Duration
	shadow    bool

	mu       sync.Mutex
	ctl      controller
	inflight int
	streams  int
	queue    queue
	standing time.Time // since when the queue has not been empty; zero if it is
}

// NewAdaptive returns a limiter. The error joins everything that is wrong with
// s.
func NewAdaptive(s Settings) (*Adaptive, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.WithDefaults()
	return &Adaptive{
		seed: maphash.MakeSeed(), queueCap: max(0, s.Queue), queueWait: s.QueueWait, shadow: s.Shadow,
		ctl: newController(s),
	}, nil
}

// A Ticket is the place of one admitted request. It belongs to that request:
// do not copy it, and do not use it from two goroutines at once.
type Ticket struct {
	limiter *Adaptive
	start   time.Time
	stream  bool
	spare   bool
}

// Shadowed reports whether the request would have been refused, its queue being
// full, and was let through only because of [Settings.Shadow].
func (t *Ticket) Shadowed() bool { return t.spare }

// Start returns when the place was had.
func (t *Ticket) Start() time.Time { return t.start }

// Acquire takes a place for a request of criticality c, waiting in the queue
// for a short time if there is none. Waiting requests are served by
// criticality; among equals the first come first, but the last come first once
// the queue has been standing for [Settings.QueueWait]: the newest are the ones
// whose callers still wait. When the queue is full, the least critical request
// is refused, be it this one or one in the queue.
//
// A refusal is a [*ShedError]. If ctx has ended, or ends before it is this
// request's turn, its reason is [ReasonExpired] and it unwraps to ctx's error.
func (a *Adaptive) Acquire(ctx context.Context, c Criticality) (Ticket, error) {
	return a.AcquireFrom(ctx, c, "")
}

// AcquireFrom is [Adaptive.Acquire] for a request of the named client. Among
// requests of one class that wait, clients take turns; what was said of the
// order of waiting requests then holds for those of one client, and in an
// overload a client for whom nobody waited yet comes first. When the queue is
// full, one of the client for whom most wait is refused. So a client gets what it
// asks for, or as many places as any other, however much others send; within a
// class, that is, and as long as there is a queue.
//
// A name is what tells clients apart and must not be theirs to choose: with many
// names a client has many turns. Those without a name take one turn.
func (a *Adaptive) AcquireFrom(ctx context.Context, c Criticality, client string) (Ticket, error) {
	if err := ctx.Err(); err != nil {
		return Ticket{}, ended(err)
	}
	return a.AcquireAt(ctx, time.Now(), c, client)
}

// AcquireAt is AcquireFrom for those who have just read the clock and seen that
// ctx has not ended: now is the present.
func (a *Adaptive) AcquireAt(ctx context.Context, now time.Time, c Criticality, client string) (Ticket, error) {
	t, w, refused := a.enter(now, c, client, nil)
	switch {
	case refused != nil:
		return Ticket{}, refused
	case w != nil:
		return a.wait(ctx, w)
	}
	return t, nil
}

// enter takes a place, queues the request, or says why not. told is as in
// [Adaptive.Enter]; without it the waiter gets a channel.
func (a *Adaptive) enter(now time.Time, c Criticality, client string, told func(Ticket, error)) (Ticket, *Waiter, *ShedError) {
	key := a.key(c, client)
	a.mu.Lock()
	if a.inflight < a.ctl.limit() {
		a.inflight++
		a.ctl.admitted(a.inflight)
		a.mu.Unlock()
		return Ticket{limiter: a, start: now}, nil, nil
	}
	a.ctl.full()
	if a.shadow {
		full := a.inflight >= a.ctl.limit()+a.queueCap // all above the limit would wait
		a.inflight++
		a.mu.Unlock()
		return Ticket{limiter: a, start: now, spare: full}, nil, nil
	}
	w, victim, refused := a.enqueue(now, key, told)
	a.mu.Unlock()
	if victim != nil {
		victim.tell(errPreempted)
	}
	return Ticket{}, w, refused
}

// key says whose turn a request waits for.
func (a *Adaptive) key(c Criticality, client string) turnKey {
	key := turnKey{class: c.class()}
	if client != "" {
		key.client = max(maphash.String(a.seed, client), 1)
	}
	return key
}

// enqueue queues a request, in the place of a victim if need be, or says why
// not. The victim is to be told.
func (a *Adaptive) enqueue(now time.Time, key turnKey, told func(Ticket, error)) (w, victim *Waiter, refused *ShedError) {
	patience, overload := a.queueWait, a.overloaded(now)
	if overload {
		patience = min(patience, overloadWait)
	}
	if a.queue.len >= a.queueCap {
		if victim = a.queue.victim(key, overload); victim == nil {
			return nil, nil, errQueueFull
		}
		a.queue.remove(victim)
	}
	w = &Waiter{limiter: a, patience: patience, told: told}
	if told == nil {
		w.done = make(chan *ShedError, 1)
	}
	if a.queue.len == 0 {
		a.standing = now
	}
	a.queue.push(w, key, overload)
	return w, victim, nil
}

// overloaded reports whether the queue has been standing for so long that it
// is no burst.
func (a *Adaptive) overloaded(now time.Time) bool {
	return a.queue.len > 0 && now.Sub(a.standing) >= a.queueWait
}

// wait waits until w has a place, is refused, or has waited too long.
func (a *Adaptive) wait(ctx context.Context, w *Waiter) (Ticket, error) {
	t := time.NewTimer(w.patience)
	defer t.Stop()
	var refused *ShedError
	select {
	case refused = <-w.done:
	case <-ctx.Done():
		refused = a.leave(w, ended(ctx.Err()))
	case <-t.C:
		refused = a.leave(w, errQueueTimeout)
	}
	if refused != nil {
		return Ticket{}, refused
	}
	ticket := Ticket{limiter: a, start: time.Now()}
	if err := ctx.Err(); err != nil { // it ended just as the place was granted
		ticket.Release(Ignored)
		return Ticket{}, ended(err)
	}
	return ticket, nil
}

// leave takes w out of the queue for the given reason, unless it has been told
// something else before.
func (a *Adaptive) leave(w *Waiter, reason *ShedError) *ShedError {
	if w.remove() {
		return reason
	}
	return <-w.done
}

// Release gives the place back and tells what became of the request. Only the
// first call of a ticket does anything, and on the zero Ticket none does.
func (t *Ticket) Release(o Outcome) { t.ReleaseAt(time.Now(), o) }

// ReleaseAt is Release for those who have just read the clock: now is the
// present.
func (t *Ticket) ReleaseAt(now time.Time, o Outcome) {
	a := t.limiter
	if a == nil {
		return
	}
	t.limiter = nil
	a.mu.Lock()
	if t.stream {
		a.streams--
		a.mu.Unlock()
		return
	}
	a.inflight--
	a.ctl.finished(now, t.start, o)
	admitted := a.dispatch(now)
	a.mu.Unlock()
	admitted.tell()
}

// Stream takes the request out of the limit, for one whose response goes on
// long after the work is done, as a long poll's does: it gives its place to
// another, and its time says nothing. It is counted by [Adaptive.Streams] until
// Release. A second call does nothing.
func (t *Ticket) Stream() {
	a := t.limiter
	if a == nil || t.stream {
		return
	}
	t.stream = true
	a.mu.Lock()
	a.inflight--
	a.streams++
	admitted := a.dispatch(time.Now())
	a.mu.Unlock()
	admitted.tell()
}

// dispatch gives free places to those who wait, and returns those who got one:
// they are to be told.
func (a *Adaptive) dispatch(now time.Time) (admitted chain) {
	lifo := a.overloaded(now)
	for a.inflight < a.ctl.limit() {
		w := a.queue.pop(lifo)
		if w == nil {
			break
		}
		a.inflight++
		a.ctl.admitted(a.inflight)
		admitted.add(w)
	}
	return admitted
}

// Limit returns how many requests may be worked on at once now.
func (a *Adaptive) Limit() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ctl.limit()
}

// InFlight returns how many requests hold a place. After the limit has shrunk
// it may be above it for a while.
func (a *Adaptive) InFlight() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inflight
}

// Queued returns how many requests wait for a place.
func (a *Adaptive) Queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue.len
}

// Streams returns how many requests have called [Ticket.Stream] and not ended.
func (a *Adaptive) Streams() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams
}
