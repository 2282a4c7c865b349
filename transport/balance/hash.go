package balance

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

// DefaultLoadFactor is used where [Hash.LoadFactor] is zero.
const DefaultLoadFactor = 2

// freeLoad is how many calls in flight no endpoint is too busy with: where few
// are in flight at all, two with the same key would be parted for nothing.
const freeLoad = 4

// Hash are the settings of [RingHash], [Maglev] and [Rendezvous].
type Hash struct {
	// By is where a call's key is looked for, first to last, unless [Call.Key]
	// gives it. Calls without a key are spread as by [P2C].
	By []Source `json:"by,omitzero"`
	// LoadFactor bounds the load of an endpoint: when it has so many times its
	// part, by weight, of this caller's calls in flight, and 4 or more of them,
	// calls with its keys go to the next in their order. Default 2, with which a
	// few in a hundred calls do so where 4 are in flight at each on average, and
	// next to none with 10; 1.25 keeps the load more even, and for that parts
	// one in five or ten calls from its owner. Negative is no bound.
	LoadFactor float64 `json:"load_factor,omitzero"`
	// MinPoints, MaxPoints and Slots are the sizes of tables: see
	// [hashring.Settings]. With more endpoints than Slots, Maglev is Rendezvous.
	MinPoints int `json:"min_points,omitzero"`
	MaxPoints int `json:"max_points,omitzero"`
	Slots     int `json:"slots,omitzero"`
}

func (h *Hash) withDefaults() {
	s := h.settings(RingHash).WithDefaults()
	h.LoadFactor = cmp.Or(h.LoadFactor, DefaultLoadFactor)
	h.MinPoints, h.MaxPoints, h.Slots = s.MinPoints, s.MaxPoints, s.Slots
}

func (h *Hash) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: hash "+format, args...))
	}
	for i, by := range h.By {
		if err := by.validate(); err != nil {
			bad("by %d: %w", i+1, err)
		}
	}
	if f := h.LoadFactor; !(f <= 0 || f >= 1) { // NaN too
		bad("load_factor %v: want at least 1, or a negative number for no bound", f)
	}
	if err := h.settings(RingHash).Validate(); err != nil {
		bad("table: %w", err)
	}
	return errors.Join(errs...)
}

// kinds are the policies that go by hashes.
var kinds = map[string]hashring.Kind{
	RingHash: hashring.Ring, Maglev: hashring.Maglev, Rendezvous: hashring.Rendezvous,
}

// hashes reports whether p goes by hashes.
func (p *Policy) hashes() bool { return kinds[p.Name] != "" }

func (h *Hash) settings(policy string) hashring.Settings {
	return hashring.Settings{Kind: kinds[policy], MinPoints: h.MinPoints, MaxPoints: h.MaxPoints, Slots: h.Slots}
}

// of returns the hash of the call's key, or 0 if it has none.
func (h *Hash) of(c *Call) uint64 {
	key := c.Key
	if key == "" {
		key = c.key(h.By)
	}
	if key == "" {
		return 0
	}
	return max(1, hashring.Sum(key))
}

// A hashTable knows the owners of all keys among the members of a set, left out
// or not: what becomes of an endpoint moves its keys and nobody else's, and back
// again.
type hashTable struct {
	*hashring.Table
	settings hashring.Settings
	members  []hashring.Member
}

// newHashTable returns a table of members, which is old if nothing has changed.
func newHashTable(old *hashTable, s hashring.Settings, members []*Endpoint) *hashTable {
	if old != nil && old.settings == s && old.has(members) {
		return old
	}
	h := &hashTable{settings: s, members: make([]hashring.Member, len(members))}
	for i, e := range members {
		h.members[i] = member(e)
	}
	var err error
	if h.Table, err = hashring.Build(s, h.members); err != nil { // more members than slots
		s.Kind = hashring.Rendezvous
		if h.Table, err = hashring.Build(s, h.members); err != nil {
			panic(err) // the settings are valid, and so are the members
		}
	}
	return h
}

func member(e *Endpoint) hashring.Member {
	return hashring.Member{Key: e.key(), Weight: float64(min(e.weight(), maxHashWeight))}
}

// maxHashWeight is the most that a hashring takes.
const maxHashWeight = 1e9

// has reports whether h is of members.
func (h *hashTable) has(members []*Endpoint) bool {
	if len(h.members) != len(members) {
		return false
	}
	for i, e := range members {
		if h.members[i] != member(e) {
			return false
		}
	}
	return true
}

// hashed takes the first that is usable and not too busy in the order of the
// call's key.
type hashed struct {
	table  *hashTable
	at     []int32 // the candidate that a member of the table is, or -1
	weight float64 // of all candidates
	factor float64
	load   *loadSum
}

// newHashed returns a picker for s, whose members that drain own no keys.
func newHashed(s *set, members []*Endpoint, k *kept, p *Policy) hashed {
	drains := func(e *Endpoint) bool { return e.drained.Load() }
	if slices.ContainsFunc(members, drains) {
		members = slices.DeleteFunc(slices.Clone(members), drains)
	}
	k.table = newHashTable(k.table, p.Hash.settings(p.Name), members)
	h := hashed{table: k.table, at: places(members, s.active), factor: p.Hash.LoadFactor, load: &loadSum{}}
	if s.weights == nil && len(s.active) > 0 {
		h.weight = float64(len(s.active)) * member(s.active[0]).Weight
	}
	for _, w := range s.weights {
		h.weight += min(w, maxHashWeight)
	}
	return h
}

// places returns where in some each of all is, or -1 for those that are not
// there. It is quick if they are in the same order.
func places(all, some []*Endpoint) []int32 {
	at := make([]int32, len(all))
	next := 0
	for i, e := range all {
		at[i] = -1
		if next < len(some) && some[next] == e {
			at[i] = int32(next)
			next++
		}
	}
	if next == len(some) {
		return at
	}
	index := make(map[*Endpoint]int32, len(some))
	for i, e := range some {
		index[e] = int32(i)
	}
	for i, e := range all {
		at[i] = -1
		if place, ok := index[e]; ok {
			at[i] = place
		}
	}
	return at
}

func (h hashed) Pick(c Candidates) int {
	if c.hash == 0 {
		return p2c{}.Pick(c)
	}
	first, sum := -1, -1
	for member := range h.table.Choices(c.hash) {
		i := int(h.at[member])
		if i < 0 || !c.Usable(i) {
			continue
		}
		load := int(c.set.active[i].inflight.Load())
		if h.factor < 0 || load < freeLoad {
			return i
		}
		if sum < 0 {
			first, sum = i, h.load.of(c.set)
		}
		if load < h.table.Capacity(member, hashring.Bound{Factor: h.factor, Total: sum, Weight: h.weight}) {
			return i
		}
	}
	return first // all seem to be too busy, for the sum lags behind
}

// A loadSum is how many calls are in flight at a set. It adds them up once in so
// many looks that a look takes a constant time; meanwhile the mean changes by an
// eighth of a call.
type loadSum struct {
	looks atomic.Uint64
	sum   atomic.Int64
}

func (l *loadSum) of(s *set) int {
	every := uint64(max(1, len(s.active)/8))
	if (l.looks.Add(1)-1)%every == 0 {
		sum := int64(0)
		for _, e := range s.active {
			sum += e.inflight.Load()
		}
		l.sum.Store(sum)
	}
	return int(l.sum.Load())
}
