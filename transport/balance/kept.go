package balance

import "sync/atomic"

// kept is what the picker of a set hands on to the picker of the same set in
// the next view.
type kept struct {
	turn  atomic.Uint64 // of policies that go around
	table *hashTable    // of policies that go by hash
}

// keep returns what has been kept of the set with this key. The lock must be
// held.
func (b *Balancer) keep(key string) *kept {
	k := b.kept[key]
	if k == nil {
		k = &kept{}
		k.turn.Store(b.rand.Uint64()) // clients must not march together
	}
	b.nextKept[key] = k
	return k
}
