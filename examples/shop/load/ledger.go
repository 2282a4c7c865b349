package load

import (
	"fmt"
	"sync"
)

// ledger remembers what the shop has promised and notes where it broke its
// word. It may be used by many goroutines.
type ledger struct {
	mu         sync.Mutex
	orders     map[string]string // idempotency key -> order
	keys       map[string]string // order -> idempotency key
	violations []string
}

func newLedger() *ledger {
	return &ledger{orders: map[string]string{}, keys: map[string]string{}, violations: []string{}}
}

// ordered notes that a checkout with key was answered with order.
func (l *ledger) ordered(key, order string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.orders[key]; ok && before != order {
		l.violate("idempotency key %s yielded two orders, %s and %s", key, before, order)
	}
	if other, ok := l.keys[order]; ok && other != key {
		l.violate("order %s was given to two checkouts, with keys %s and %s", order, other, key)
	}
	l.orders[key], l.keys[order] = order, key
}

// broken notes a violation that the caller found.
func (l *ledger) broken(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violate(format, args...)
}

// violate is broken for those who hold mu.
func (l *ledger) violate(format string, args ...any) {
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
}

// totals returns the number of orders and all violations.
func (l *ledger) totals() (orders int, violations []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys), l.violations
}
