package cart

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/gabion-go/gabion/discovery"
)

// metaStore is the key of an instance's metadata that names its store.
const metaStore = "store"

// directory is the list of peers as service discovery shows it.
type directory struct {
	service string
	self    string // the store of this replica
	log     *slog.Logger
	list    atomic.Pointer[[]Peer]
}

// run keeps the list up to date until ctx ends, and returns nil. The last good
// list stands while discovery fails.
func (d *directory) run(ctx context.Context, resolver discovery.Resolver) error {
	for instances, err := range resolver.Watch(ctx, d.service) {
		if err != nil {
			d.log.Warn("replicas cannot be looked up", "error", err)
			continue
		}
		d.set(instances)
	}
	return nil
}

func (d *directory) set(instances []discovery.Instance) {
	var peers []Peer
	for _, in := range instances {
		if store := in.Meta[metaStore]; store != d.self {
			peers = append(peers, Peer{store, "http://" + in.Addr})
		}
	}
	d.list.Store(&peers)
}

// peers implements [Peers].
func (d *directory) peers() []Peer {
	if list := d.list.Load(); list != nil {
		return *list
	}
	return nil
}
