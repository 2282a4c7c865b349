package cart

import (
	"context"
	"fmt"
	"sync"
)

// locks is one lock for each key in use. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]*turn
}

// turn passes a lock on: whoever can put a value into free holds it.
type turn struct {
	free  chan struct{} // capacity 1
	users int           // holders and waiters; guarded by locks.mu
}

// lock waits for its turn or until ctx ends. The returned function gives the
// lock back.
func (l *locks) lock(ctx context.Context, key string) (unlock func(), err error) {
	t := l.enter(key)
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free; l.leave(key, t) }, nil
	case <-ctx.Done():
		l.leave(key, t)
		return nil, fmt.Errorf("cart: wait for another change: %w", ctx.Err())
	}
}

func (l *locks) enter(key string) *turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*turn{}
	}
	t := l.held[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		l.held[key] = t
	}
	t.users++
	return t
}

func (l *locks) leave(key string, t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(l.held, key)
	}
}
