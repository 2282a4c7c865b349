package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"
)

// ways is how many clients a set holds.
const ways = 8

// table remembers what clients have used, in memory that is allocated once. It
// is safe for concurrent use.
//
// A [rate.Limiter] for each client would take some 150 bytes with its place in a
// map, and the question whom to forget. Here a client is 16 bytes: a hash of its
// key, and the time at which it will have been granted all it has used, which is
// a token bucket in one number (the generic cell rate algorithm, ITU-T I.371,
// annex A).
//
// A key's hash says which set of eight it belongs to. When a set is full of
// others, a new key takes the place of the one with the earliest time, and its
// time with it. So the earliest time of a set never goes back, and nobody gains
// by being forgotten: a key that returns finds a time no earlier than its own
// was. That is also why keys can be rotated to no avail once there are more than
// the table holds. A client that has used nothing of late has a time in the
// past, and to inherit that is to begin afresh.
type table struct {
	seed  maphash.Seed
	sets  []set
	shift int // of a hash, so that an index of sets is left
}

type set struct {
	mu      sync.Mutex
	clients [ways]client
}

type client struct {
	hash uint64
	paid time.Duration // when all is paid for, since the limiter began
}

// newTable returns a table for so many keys at least.
func newTable(keys int) *table {
	log := bits.Len(uint(max(keys, ways)-1)) - bits.Len(ways-1)
	return &table{seed: maphash.MakeSeed(), sets: make([]set, 1<<log), shift: 64 - log}
}

// take has a client pay cost if that is granted: if it is then at most burst
// ahead of now, or costs nothing. It returns how far ahead it is, after paying if it could.
func (t *table) take(key string, now, cost, burst time.Duration) (ahead time.Duration, ok bool) {
	hash := maphash.String(t.seed, key)
	s := &t.sets[hash>>t.shift]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(hash)
	paid := max(c.paid, now)
	switch {
	case cost == 0:
		return paid - now, true
	case paid+cost > now+burst:
		return paid - now, false
	}
	*c = client{hash, paid + cost}
	return c.paid - now, true
}

// find returns the client with this hash, or else whose place it would take.
func (s *set) find(hash uint64) *client {
	earliest := &s.clients[0]
	for i := range s.clients {
		c := &s.clients[i]
		if c.hash == hash {
			return c
		}
		if c.paid < earliest.paid {
			earliest = c
		}
	}
	return earliest
}
