package balance

import "github.com/gabion-go/gabion/internal/random"

// view is what a pick needs to know. It never changes; a change of state or of
// the list makes a new one.
type view struct {
	policy    Policy
	all       []*Endpoint // in the order of the list
	base      *group      // of all that the policy selects
	splits    []*viewSplit
	out       []*Endpoint          // see leftOut
	names     map[uint64]*Endpoint // see Sticky; nil if sessions are not sticky
	shadow    *set                 // see Shadow; nil if there are none
	byLatency bool                 // whether it matters how long calls take
	byTime    bool                 // whether each pick depends on when it is
	hashes    bool                 // whether picks depend on the hash of the call's key
	sumsTimes bool                 // whether it is added up, to compare endpoints by it
}

// newView sorts all endpoints by what they may get. The lock must be held.
func (b *Balancer) newView() *view {
	v := &view{policy: b.policy, all: b.all}
	b.nextKept = map[string]*kept{}
	members := selected(b.all, &v.policy.Select)
	v.base = b.newGroup("", members)
	for i := range v.policy.Splits {
		v.splits = append(v.splits, b.newSplit(i, &v.policy.Splits[i], members))
	}
	v.out = v.leftOut()
	b.kept, b.nextKept = b.nextKept, nil
	v.names, v.shadow = b.nameAll(), b.newShadow()
	v.sumsTimes = v.policy.Ejection.LatencyFactor > 0
	v.byLatency = v.policy.Name == PeakEWMA || v.policy.Name == Prequal || v.sumsTimes
	v.hashes = b.policy.hashes() || b.customPicker(b.policy.Name) != nil
	v.byTime = v.byLatency || v.policy.Name == WeightedRoundRobin
	return v
}

// group returns the one that a call belongs to.
func (v *view) group(b *Balancer, c *Call) *group {
	for _, s := range v.splits {
		if !s.policy.When.holds(c) {
			continue
		}
		return s.assign(c, b.rand)
	}
	return v.base
}

// home returns the group whose endpoints the calls of g go to: all, if there is
// nobody of its own.
func (v *view) home(g *group) *group {
	if len(g.set.active) == 0 {
		return v.base
	}
	return g
}

// leftOut returns the endpoints that the calls of some group do not go to, and
// that one may be risked on.
func (v *view) leftOut() []*Endpoint {
	if v.splits == nil {
		return v.base.out
	}
	var all []*Endpoint
	seen := map[*Endpoint]bool{}
	add := func(g *group) {
		for _, e := range g.out {
			if !seen[e] {
				seen[e] = true
				all = append(all, e)
			}
		}
	}
	add(v.base)
	for _, s := range v.splits {
		for _, g := range s.groups {
			add(g)
		}
		if s.rest != nil {
			add(s.rest)
		}
	}
	return all
}

// draw returns an index at random, by weight. It avoids other where that costs
// nothing.
func (s *set) draw(other int) int {
	n := len(s.active)
	switch {
	case other >= 0 && n == 2:
		return 1 - other
	case s.alias != nil:
		i := random.IntN(s.rand, n)
		if random.Float64(s.rand) >= s.alias[i].keep {
			return s.alias[i].other
		}
		return i
	case other < 0:
		return random.IntN(s.rand, n)
	}
	i := random.IntN(s.rand, n-1) // all but other
	if i >= other {
		i++
	}
	return i
}

// An aliasSlot is one of n equally likely slots: it stands for its own index
// with probability keep, else for other.
type aliasSlot struct {
	keep  float64
	other int
}

// newAlias prepares draws by weight in constant time. Source: Vose, "A Linear
// Algorithm for Generating Random Numbers with a Given Distribution", IEEE TSE
// 17(9), 1991.
func newAlias(weights []float64) []aliasSlot {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	slots := make([]aliasSlot, len(weights))
	var small, large []int
	for i, w := range weights {
		slots[i] = aliasSlot{keep: w / sum * float64(len(weights)), other: i}
		if slots[i].keep < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		slots[s].other = l
		slots[l].keep -= 1 - slots[s].keep
		if slots[l].keep < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) {
		slots[i].keep = 1 // what is left is so by rounding only
	}
	return slots
}
