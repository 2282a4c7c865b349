package breaker

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Event is one change of state.
type Event struct {
	// Name is the breaker's.
	Name string
	// From and To differ. From is the To of the event before.
	From, To State
	// Mode tells a change that only shadows or that an operator forced.
	Mode Mode
	// At is when the change happened.
	At time.Time
	// OpenFor is how long the circuit stays open, for a change to Open. Zero
	// when an operator holds it open.
	OpenFor time.Duration
	// Counts are the outcomes that opened a closed circuit; zero otherwise.
	Counts Counts
}

// maxQueued bounds the events that wait for a subscriber that blocks.
const maxQueued = 1 << 16

type subscriber struct {
	call      func(Event)
	cancelled atomic.Bool
}

// notice is an event and those who subscribed before it happened.
type notice struct {
	event Event
	to    []*subscriber
}

// Subscribe calls f for every change of state that happens from now on, until
// cancel. Calls come one at a time, in the order of the changes, outside every
// lock: f may call any method of b, Subscribe and [Do] included. They come from
// the goroutine whose call or read changed the state, or from a timer, so f
// should be quick. While f blocks, later events wait, and beyond 65536 the
// oldest are dropped. A panic in f is contained and logged. cancel can be called
// more than once and from f; an f that is running when it is called finishes.
func (b *Breaker) Subscribe(f func(Event)) (cancel func()) {
	s := &subscriber{call: f}
	b.mu.Lock()
	b.subscribers = append(slices.Clip(b.subscribers), s) // copy: notices share the old one
	b.mu.Unlock()
	return func() {
		s.cancelled.Store(true)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subscribers = slices.DeleteFunc(slices.Clone(b.subscribers), func(o *subscriber) bool { return o == s })
	}
}

// enqueue remembers e until deliver. The caller holds the lock.
func (b *Breaker) enqueue(e Event) {
	if len(b.subscribers) == 0 {
		return
	}
	if len(b.queue) == maxQueued {
		b.dequeue()
	}
	b.queue = append(b.queue, notice{e, b.subscribers})
}

// deliver calls the subscribers for everything that is queued, what they cause
// themselves included. Only one goroutine delivers at a time; whatever others
// queue meanwhile is delivered by that one. The caller must not hold the lock.
func (b *Breaker) deliver() {
	if !b.claimDelivery() {
		return
	}
	emptied := false
	defer func() {
		if !emptied { // a subscriber ended the goroutine with runtime.Goexit
			b.mu.Lock()
			b.delivering = false
			b.mu.Unlock()
		}
	}()
	for {
		n, ok := b.nextNotice()
		if !ok {
			emptied = true
			return
		}
		for _, s := range n.to {
			b.notify(s, n.event)
		}
	}
}

func (b *Breaker) claimDelivery() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.delivering || len(b.queue) == 0 {
		return false
	}
	b.delivering = true
	return true
}

// nextNotice takes the oldest notice, or gives up the claim if there is none.
func (b *Breaker) nextNotice() (n notice, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.queue, b.delivering = nil, false
		return notice{}, false
	}
	return b.dequeue(), true
}

func (b *Breaker) dequeue() notice {
	n := b.queue[0]
	b.queue[0] = notice{} // the array lives on; what it pointed to need not
	b.queue = b.queue[1:]
	return n
}

func (b *Breaker) notify(s *subscriber, e Event) {
	if s.cancelled.Load() {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			b.cfg.logger.Error("breaker: subscriber panicked",
				slog.String("breaker", b.name), slog.String("panic", fmt.Sprint(v)))
		}
	}()
	s.call(e)
}
