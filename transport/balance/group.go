package balance

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// A group is the endpoints that one part of the calls may go to.
type group struct {
	name      string // of the share, "" for all
	set       *set
	zones     *zoneSplit // nil: zones do not matter
	out       []*Endpoint
	stats     Stats
	panicking bool
}

// newGroup sorts members by what they may get. The lock must be held.
func (b *Balancer) newGroup(name string, members []*Endpoint) *group {
	g := &group{name: name}
	active := make([]*Endpoint, 0, len(members))
	var ejected, unreachable []*Endpoint
	for _, e := range members {
		switch e.State() {
		case Available:
			active = append(active, e)
		case Ejected:
			ejected = append(ejected, e)
		case Unreachable:
			unreachable = append(unreachable, e)
		}
	}
	g.stats = Stats{Available: len(active), Ejected: len(ejected), Unreachable: len(unreachable)}
	live := len(active) + len(ejected) + len(unreachable)
	g.stats.Draining = len(members) - live
	g.panicking = len(active)*100 < b.policy.Ejection.PanicPercent*live
	g.stats.Panic = g.panicking
	g.out = slices.Concat(unreachable, ejected)
	if g.panicking {
		active, g.out = append(active, ejected...), unreachable
	}
	switch {
	case name != "" && g.stats.Available == 0: // all have its calls: see view.home
		active, g.out = nil, slices.Concat(unreachable, ejected)
	case len(active) == 0:
		active, g.out = g.out, nil
	}
	g.set = b.newSet(active, members, name)
	g.zones = b.zoned(g, members, name)
	return g
}

// viewSplit is a Split and the groups of its parts.
type viewSplit struct {
	policy *Split
	groups []*group // one for each share
	rest   *group   // of those that no share names; nil if they have no calls
	salt   uint64
}

func (b *Balancer) newSplit(n int, s *Split, members []*Endpoint) *viewSplit {
	v := &viewSplit{policy: s, salt: random.Hash(0, "split", uint64(n))}
	name := "split " + strconv.Itoa(n+1)
	rest, sum := members, 0.0
	for i := range s.To {
		share := &s.To[i]
		v.groups = append(v.groups, b.newGroup(name+" share "+strconv.Itoa(i+1), selected(members, &share.Selector)))
		rest = without(rest, &share.Selector)
		sum += share.Percent
	}
	if sum < 100 {
		v.rest = b.newGroup(name+" rest", rest)
	}
	return v
}

// assign returns the group that a call belongs to.
func (v *viewSplit) assign(c *Call, src rand.Source) *group {
	at := 100 * random.Float64(src)
	if key := c.key(v.policy.By); key != "" {
		at = v.place(key)
	}
	return v.part(at)
}

// place returns where the calls with a key are, from 0 to 100.
func (v *viewSplit) place(key string) float64 {
	return 100 * random.Unit(random.Hash(v.salt, key))
}

// part returns the group at a place.
func (v *viewSplit) part(at float64) *group {
	sum := 0.0
	for i, g := range v.groups {
		if sum += v.policy.To[i].Percent; at < sum {
			return g
		}
	}
	if v.rest != nil {
		return v.rest
	}
	return v.groups[len(v.groups)-1] // 100 percent, but for rounding
}

func selected(members []*Endpoint, s *Selector) []*Endpoint {
	if s.empty() {
		return members
	}
	var list []*Endpoint
	for _, e := range members {
		if s.Matches(e.instance.Load()) {
			list = append(list, e)
		}
	}
	return list
}

func without(members []*Endpoint, s *Selector) []*Endpoint {
	var list []*Endpoint
	for _, e := range members {
		if !s.Matches(e.instance.Load()) {
			list = append(list, e)
		}
	}
	return list
}

// A set is the candidates of a pick. It never changes.
type set struct {
	balancer  *Balancer
	active    []*Endpoint
	picker    Picker
	rand      rand.Source
	slowStart bool // whether slow starts count
	slowFor   time.Duration

	// Set only if the weights of active differ.
	weights []float64
	alias   []aliasSlot

	once   sync.Once
	places map[*Endpoint]int // see index
}

// index returns where in active each endpoint is. It is made for the first who
// asks, and must not be changed.
func (s *set) index() map[*Endpoint]int {
	s.once.Do(func() {
		s.places = make(map[*Endpoint]int, len(s.active))
		for i, e := range s.active {
			s.places[e] = i
		}
	})
	return s.places
}

// newSet returns the set of the active ones of members. key tells it from the
// others, and stays the same from one view to the next. The lock must be held.
func (b *Balancer) newSet(active, members []*Endpoint, key string) *set {
	s := &set{balancer: b, active: active, rand: b.rand, slowFor: b.policy.SlowStart}
	s.weigh()
	now := b.now()
	slow := 0
	for _, e := range active {
		if since := e.slowSince.Load(); since != 0 && now-since < int64(s.slowFor) {
			slow++
		}
	}
	s.slowStart = slow > 0 && slow*2 <= len(active)
	s.picker = b.newPicker(s, members, key)
	return s
}

// weigh prepares draws by weight, unless all weigh the same.
func (s *set) weigh() {
	first, equal := 1, true
	for i, e := range s.active {
		w := e.weight()
		if i == 0 {
			first = w
		}
		equal = equal && w == first
	}
	if equal {
		return
	}
	weights := make([]float64, len(s.active))
	for i, e := range s.active {
		weights[i] = float64(e.weight())
	}
	s.weights, s.alias = weights, newAlias(weights)
}
