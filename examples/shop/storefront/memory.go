package storefront

import (
	"sync"
	"time"
)

// memory keeps the last value known under each key, at most limit of them: past
// that, the one not refreshed for the longest goes. It may be used by many
// goroutines at once.
type memory[V any] struct {
	limit int

	mu    sync.Mutex
	known map[string]remembered[V]
}

type remembered[V any] struct {
	value V
	at    time.Time
}

func newMemory[V any](limit int) *memory[V] {
	return &memory[V]{limit: limit, known: make(map[string]remembered[V])}
}

func (m *memory[V]) put(key string, v V, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.known[key]; !there && len(m.known) >= m.limit {
		m.dropOldest()
	}
	m.known[key] = remembered[V]{v, at}
}

// dropOldest looks at all entries: limit is small and the call rare.
func (m *memory[V]) dropOldest() {
	var oldest string
	var at time.Time
	for key, r := range m.known {
		if at.IsZero() || r.at.Before(at) {
			oldest, at = key, r.at
		}
	}
	delete(m.known, oldest)
}

func (m *memory[V]) get(key string) (remembered[V], bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.known[key]
	return r, ok
}

func (m *memory[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, key)
}
