package balance

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gabion-go/gabion/internal/random"
)

// view is what a pick needs to know. It never changes; a change of state or of
// the list makes a new one.
type view struct {
	policy    Policy
	picker    Picker
	rand      rand.Source
	all       []*Endpoint // in the order of the list
	active    []*Endpoint // the candidates
	out       []*Endpoint // left out, but risked a call at times
	slowStart bool        // whether slow starts count
	byLatency bool        // whether the policy goes by the time that calls take
	stats     Stats

	// Set only if the weights of active differ.
	weights []float64
	alias   []aliasSlot
	strides []uint16
}

// newView sorts all endpoints by what they may get. The balancer's lock must
// be held.
func (b *Balancer) newView(now int64) *view {
	p, all := b.policy, b.all
	v := &view{policy: p, picker: b.picker, rand: b.rand, all: all, active: make([]*Endpoint, 0, len(all))}
	var ejected, unreachable []*Endpoint
	for _, e := range all {
		switch e.State() {
		case Available:
			v.active = append(v.active, e)
		case Ejected:
			ejected = append(ejected, e)
		case Unreachable:
			unreachable = append(unreachable, e)
		}
	}
	s := Stats{Available: len(v.active), Ejected: len(ejected), Unreachable: len(unreachable)}
	live := s.Available + s.Ejected + s.Unreachable
	s.Draining = len(all) - live
	s.Panic = s.Available*100 < p.Ejection.PanicPercent*live
	v.stats = s
	v.out = slices.Concat(unreachable, ejected)
	if s.Panic {
		v.active, v.out = append(v.active, ejected...), unreachable
	}
	if len(v.active) == 0 {
		v.active, v.out = v.out, nil
	}
	v.byLatency = p.Name == PeakEWMA
	v.weigh()
	v.slowStart = v.countSlow(now)*2 <= len(v.active)
	return v
}

// countSlow returns how many candidates are in their slow start.
func (v *view) countSlow(now int64) int {
	n := 0
	for _, e := range v.active {
		if since := e.slowSince.Load(); since != 0 && now-since < int64(v.policy.SlowStart) {
			n++
		}
	}
	return n
}

// weigh prepares draws by weight, unless all weigh the same.
func (v *view) weigh() {
	equal := true
	weights := make([]float64, len(v.active))
	for i, e := range v.active {
		weights[i] = float64(max(1, e.instance.Load().Weight))
		equal = equal && weights[i] == weights[0]
	}
	if equal {
		return
	}
	v.weights, v.alias = weights, newAlias(weights)
	most := 0.0
	for _, w := range weights {
		most = max(most, w)
	}
	v.strides = make([]uint16, len(weights))
	for i, w := range weights {
		v.strides[i] = uint16(max(1, math.Round(w/most*math.MaxUint16)))
	}
}

// draw returns an index at random, by weight. It avoids other where that costs
// nothing.
func (v *view) draw(other int) int {
	n := len(v.active)
	switch {
	case other >= 0 && n == 2:
		return 1 - other
	case v.alias != nil:
		i := random.IntN(v.rand, n)
		if random.Float64(v.rand) >= v.alias[i].keep {
			return v.alias[i].other
		}
		return i
	case other < 0:
		return random.IntN(v.rand, n)
	}
	i := random.IntN(v.rand, n-1) // all but other
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
