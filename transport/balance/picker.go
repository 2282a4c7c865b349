package balance

// A Picker is a policy: it chooses one of some candidates. It is called by many
// goroutines at once.
type Picker interface {
	// Pick returns the index of the endpoint that gets the call. Negative
	// means that it found none that is usable; then, and when what it returns
	// is not usable, the balancer looks for a usable one itself, so a Picker
	// need not search far.
	Pick(c Candidates) int
}

// known are the policies of this package.
var known = []string{PeakEWMA, P2C, LeastRequest, RoundRobin, WeightedRoundRobin, Prequal, Random, RingHash, Maglev, Rendezvous}

// newPicker returns what picks from s, the active ones of members, by the
// policy. The lock must be held.
func (b *Balancer) newPicker(s *set, members []*Endpoint, key string) Picker {
	k := b.keep(key)
	switch b.policy.Name {
	case P2C:
		return p2c{}
	case LeastRequest:
		return leastRequest{newRoundRobin(s, k)}
	case RoundRobin:
		return newRoundRobin(s, k)
	case WeightedRoundRobin:
		return newWeightedRoundRobin(s, k, b.policy.Weighted, b.now())
	case Prequal:
		return newPrequal(s, b.policy.Prequal, b.prober)
	case Random:
		return single{}
	case RingHash, Maglev, Rendezvous:
		return newHashed(s, members, k, &b.policy)
	default:
		if p := b.customPicker(b.policy.Name); p != nil {
			return p
		}
		return peakEWMA{}
	}
}

// single draws one.
type single struct{}

func (single) Pick(c Candidates) int { return c.Draw(-1) }

// p2c takes the less loaded of two that are drawn at random. Source:
// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE
// TPDS 12(10), 2001.
type p2c struct{}

func (p2c) Pick(c Candidates) int {
	first := c.Draw(-1)
	if first < 0 {
		return -1
	}
	second := c.Draw(first)
	if second >= 0 && c.busier(first, second) {
		return second
	}
	return first
}

func (p2c) cost(c *Candidates, i int) float64 { return c.Load(i) / c.Weight(i) }

// busier reports whether first should leave the call to second. Draws follow
// the weights already. Between equal weights the fewer calls win. Between
// unequal ones the first drawn keeps the call until the other would be less
// busy for its weight even with it: otherwise the heavier would win whenever
// both are idle, and the lighter never get the share that it was given.
func (c *Candidates) busier(first, second int) bool {
	w1, w2 := c.Weight(first), c.Weight(second)
	if w1 == w2 {
		return c.Load(second) < c.Load(first)
	}
	return (c.Load(second)+1)/w2 < c.Load(first)/w1
}
