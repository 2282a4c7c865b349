package cart

import (
	"log/slog"
	"net/http"
	"time"
)

// node is one replica of the service, put together over its store.
type node struct {
	rep    *Replicator
	gate   *Gate
	carts  *Carts
	routes map[string]http.HandlerFunc
}

// newNode returns a replica over cfg's store that talks to its peers through
// cfg's client; self says where it answers once that is known. It starts
// nothing: rep.Run and gate.Run are the caller's to run.
func newNode(cfg Config, peers Peers, self func() string, prices Prices, inventory Inventory, log *slog.Logger) (*node, error) {
	store, now := cfg.Store, cfg.Now
	if now == nil {
		now = time.Now
	}
	last, err := store.Latest()
	if err != nil {
		return nil, err
	}
	clock := NewClock(store.ID(), last, now)
	n := &node{rep: NewReplicator(store, clock, peers, self, cfg.Peers, log), routes: map[string]http.HandlerFunc{}}
	n.rep.rand = cfg.Rand
	n.gate = NewGate(n.rep.Sync)
	n.carts = NewCarts(store, clock, n.rep, prices, inventory)
	for pattern, h := range Routes(n.carts, log) {
		n.routes[pattern] = n.gate.Wrap(h).ServeHTTP
	}
	for pattern, h := range InternalRoutes(store, n.rep, log) {
		n.routes[pattern] = h
	}
	return n, nil
}
