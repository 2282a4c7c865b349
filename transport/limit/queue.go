package limit

// queue holds the waiters: by class, and within a class by client. Clients take
// turns, so that one that sends most of the requests is not served most of the
// time: while others wait it gets as many places as each of them, and it is the
// one whose waiters make room when the queue is full. The limiter's lock guards
// it.
//
// This is fair queueing, one request at a time: Nagle, "On Packet Switches with
// Infinite Storage", RFC 970, 1985. Stochastic fair queueing (McKenney, IEEE
// INFOCOM 1990) bounds its memory by hashing clients into a fixed number of
// queues. Here the bound is there already: a client is remembered while a request
// of it waits, and the number of those is bounded. Clients are told apart by a
// hash of 64 bits, and so practically never mistaken for each other.
//
// Without clients there is one turn for each class, and all this is a list.
type queue struct {
	turns [classes]*turn // whose turn is next; the others of the class follow
	byKey map[turnKey]*turn
	free  *turn // for use again, linked by next
	len   int
}

type turnKey struct {
	class  int
	client uint64 // 0 if it is not known
}

// A turn is a client of a class and its waiters, oldest first. The turns of a
// class form a ring.
type turn struct {
	turnKey
	prev, next     *turn
	oldest, newest *Waiter
	len            int
}

// push queues w. A client for whom nobody waits yet has the last turn or, with
// first, the first.
func (q *queue) push(w *Waiter, key turnKey, first bool) {
	t := q.turn(key, first)
	w.turn, w.prev = t, t.newest
	if t.newest == nil {
		t.oldest = w
	} else {
		t.newest.next = w
	}
	t.newest = w
	t.len++
	q.len++
}

// turn returns the turn for key, made if need be: see push.
func (q *queue) turn(key turnKey, first bool) *turn {
	if t := q.byKey[key]; t != nil {
		return t
	}
	t := q.free
	if t == nil {
		t = &turn{}
	} else {
		q.free = t.next
	}
	*t = turn{turnKey: key, prev: t, next: t}
	head := q.turns[key.class]
	if head != nil {
		t.prev, t.next = head.prev, head
		t.prev.next, head.prev = t, t
	}
	if head == nil || first {
		q.turns[key.class] = t
	}
	if q.byKey == nil {
		q.byKey = map[turnKey]*turn{}
	}
	q.byKey[key] = t
	return t
}

// drop forgets a turn that nobody waits for any more.
func (q *queue) drop(t *turn) {
	switch {
	case t.next == t:
		q.turns[t.class] = nil
	case q.turns[t.class] == t:
		q.turns[t.class] = t.next
	}
	t.prev.next, t.next.prev = t.next, t.prev
	delete(q.byKey, t.turnKey)
	*t = turn{next: q.free}
	q.free = t
}

// remove takes w out and reports whether it was in.
func (q *queue) remove(w *Waiter) bool {
	t := w.turn
	if t == nil {
		return false
	}
	if w.prev == nil {
		t.oldest = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		t.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.turn = nil, nil, nil
	t.len--
	q.len--
	if t.len == 0 {
		q.drop(t)
	}
	return true
}

// pop takes out the next to be served: of the client whose turn it is in the
// most critical class, the oldest, or the newest if lifo. It returns nil when
// the queue is empty.
func (q *queue) pop(lifo bool) *Waiter {
	for class, t := range q.turns {
		if t == nil {
			continue
		}
		w := t.oldest
		if lifo {
			w = t.newest
		}
		q.turns[class] = t.next
		q.remove(w)
		return w
	}
	return nil
}

// victim returns whom to refuse so that a request may be queued, or nil if it
// is that request. It is one of the least critical class in which anybody waits,
// if that is no more critical than the request's own, and there of the client
// for whom most wait: the oldest, which has the least hope of being served in
// time. Only among the equally critical and outside an overload it is the newest,
// as those who come late then are who is refused, and it is the request itself
// unless another client has more waiting even so.
func (q *queue) victim(key turnKey, overload bool) *Waiter {
	for class := classes - 1; class >= key.class; class-- {
		if q.turns[class] == nil {
			continue
		}
		own, most := q.byKey[key], q.longest(class)
		switch {
		case class > key.class:
			return most.oldest
		case overload && own != nil && own.len == most.len:
			return own.oldest
		case overload:
			return most.oldest
		case most.len > own.length()+1:
			return most.newest
		}
	}
	return nil
}

// longest returns the turn of a class for which most wait; among equals the one
// that comes last. It looks at every client for whom a request waits.
func (q *queue) longest(class int) *turn {
	head := q.turns[class]
	most := head
	for t := head.next; t != head; t = t.next {
		if t.len >= most.len {
			most = t
		}
	}
	return most
}

// length returns how many wait for t, which may be nil.
func (t *turn) length() int {
	if t == nil {
		return 0
	}
	return t.len
}
