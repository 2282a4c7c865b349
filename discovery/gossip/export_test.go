package gossip

import "time"

// Crash ends a node as a killed process ends: nobody is told.
func (b *Backend) Crash() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.feed.Close()
	b.settle.Stop()
	b.cancel()
	err := b.list.Shutdown()
	b.catalog.close()
	b.wg.Wait()
	return err
}

// PeerAddr returns where b reaches the node of that name, if it is alive.
func (b *Backend) PeerAddr(name string) string {
	addr, _ := b.catalog.address(name)
	return addr
}

// Hear has b hear that a node of that name, whose process started so much
// later than now, announces nothing.
func (b *Backend) Hear(name string, later time.Duration) {
	b.learn(record{node: name, version: version{epoch: uint64(time.Now().Add(later).UnixNano())}})
}
