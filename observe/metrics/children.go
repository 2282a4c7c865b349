package metrics

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
)

// children remembers the resolved children of a metric vector by key, so that
// looking one up costs a map read and allocates nothing. K must have a bounded
// number of values.
type children[K comparable, C any] struct {
	epoch   *atomic.Uint64 // when it moves, all children are stale
	mu      *sync.Mutex    // held while epoch moves
	resolve func(K) C      // called with mu held

	current atomic.Pointer[generation[K, C]]
}

// generation is never changed in place.
type generation[K comparable, C any] struct {
	epoch uint64
	known map[K]C
}

func (c *children[K, C]) get(key K) C {
	if g := c.current.Load(); g != nil && g.epoch == c.epoch.Load() {
		if child, ok := g.known[key]; ok {
			return child
		}
	}
	return c.add(key)
}

func (c *children[K, C]) add(key K) C {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := &generation[K, C]{epoch: c.epoch.Load(), known: map[K]C{}}
	if g := c.current.Load(); g != nil && g.epoch == next.epoch {
		next.known = maps.Clone(g.known)
	}
	child, ok := next.known[key]
	if !ok {
		child = c.resolve(key)
		next.known[key] = child
		c.current.Store(next)
	}
	return child
}

// codeLabel returns the label value of a folded status code.
func codeLabel(code int) string {
	if code == 0 {
		return ""
	}
	return strconv.Itoa(code)
}
