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

// newNode returns a replica that talks to its peers through client; self
// says where it answers once that is known. It starts nothing: rep.Run and gate.Run are the caller's to run.
func newNode(store *Store, peers Peers, self func() string, client *http.Client, prices Prices, inventory Inventory, log *slog.Logger) (*node, error) {
	last, err := store.Latest()
	if err != nil {
		return nil, err
	}
	clock := NewClock(store.ID(), last, time.Now)
	n := &node{rep: NewReplicator(store, clock, peers, self, client, log), routes: map[string]http.HandlerFunc{}}
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
