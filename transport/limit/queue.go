package limit

// queue holds the waiters, a list for each class, oldest first. The limiter's
// lock guards it.
type queue struct {
	lists [classes]struct{ oldest, newest *Waiter }
	len   int
}

func (q *queue) push(w *Waiter) {
	l := &q.lists[w.class]
	w.prev, w.queued = l.newest, true
	if l.newest == nil {
		l.oldest = w
	} else {
		l.newest.next = w
	}
	l.newest = w
	q.len++
}

// remove takes w out and reports whether it was in.
func (q *queue) remove(w *Waiter) bool {
	if !w.queued {
		return false
	}
	l := &q.lists[w.class]
	if w.prev == nil {
		l.oldest = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.len--
	return true
}

// pop takes out the next to be served: of the most critical class the oldest,
// or the newest if lifo. It returns nil when the queue is empty.
func (q *queue) pop(lifo bool) *Waiter {
	for i := range q.lists {
		w := q.lists[i].oldest
		if lifo {
			w = q.lists[i].newest
		}
		if w != nil {
			q.remove(w)
			return w
		}
	}
	return nil
}

// victim returns whom to refuse so that a request of class may be queued: the
// oldest of the least critical class, if that is less critical than class or,
// with same, just as critical. It returns nil if there is nobody.
func (q *queue) victim(class int, same bool) *Waiter {
	for i := classes - 1; i >= class; i-- {
		if w := q.lists[i].oldest; w != nil && (i > class || same) {
			return w
		}
	}
	return nil
}
