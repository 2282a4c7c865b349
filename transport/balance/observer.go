package balance

// An Observer is told what happens to endpoints: one event after another, in
// the order in which they happened, outside all locks. Its functions may call
// the balancer; an event that comes of that is told after they return. They
// should be quick, for they run in whichever call caused the event. Nil
// functions are not called.
type Observer struct {
	// Joined: an endpoint is in the list that was not there before. Its state
	// says whether it is left out: it may have left a moment ago.
	Joined func(*Endpoint)
	// Departed: it has left the list, or its ID has moved to another address.
	// It gets no new calls, and its idle connections can be closed.
	Departed func(*Endpoint)
	// Ejected: it is left out; its state says whether as ejected or
	// unreachable. It is told again when a risked call failed.
	Ejected func(*Endpoint, Reason)
	// Returned: it is back in service.
	Returned func(*Endpoint)
	// Panic: [Stats.Panic] has changed.
	Panic func(on bool)
}

// tell queues the event f(e). The lock must be held, and deliver must follow.
func (b *Balancer) tell(f func(*Endpoint), e *Endpoint) {
	if f != nil {
		b.events = append(b.events, func() { f(e) })
	}
}

func (b *Balancer) tellEjected(e *Endpoint, r Reason) {
	if f := b.observer.Ejected; f != nil {
		b.events = append(b.events, func() { f(e, r) })
	}
}

func (b *Balancer) tellPanic(on bool) {
	if f := b.observer.Panic; f != nil {
		b.events = append(b.events, func() { f(on) })
	}
}

// deliver tells the queued events, unless somebody is at it: then they do. The
// lock must not be held.
func (b *Balancer) deliver() {
	b.mu.Lock()
	busy := b.delivering
	b.delivering = true
	b.mu.Unlock()
	if busy {
		return
	}
	told := false
	defer func() {
		if !told { // an observer panicked: let the next one go on
			b.mu.Lock()
			b.delivering = false
			b.mu.Unlock()
		}
	}()
	for f := b.nextEvent(); f != nil; f = b.nextEvent() {
		f()
	}
	told = true
}

// nextEvent takes the oldest event out of the queue. If there is none it ends
// the delivery and returns nil.
func (b *Balancer) nextEvent() func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == 0 {
		b.delivering = false
		return nil
	}
	f := b.events[0]
	b.events = b.events[1:]
	return f
}
