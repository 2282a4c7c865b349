package balance

import (
	"slices"

	"github.com/gabion-go/gabion/internal/random"
)

// maxDraws bounds how often a draw that hit an unusable endpoint is repeated.
const maxDraws = 8

// Candidates are the endpoints that may get a call. They are fixed for the
// length of one pick and belong to it.
type Candidates struct {
	set   *set
	now   int64  // nanoseconds since the balancer began; 0 if nothing depends on it
	hash  uint64 // 0: no key, or the policy does not go by it
	tried [4]*Endpoint

	explain *Explanation // nil: nobody asks
}

func newCandidates(s *set, now int64, tried []*Endpoint) Candidates {
	c := Candidates{set: s, now: now}
	if len(tried) > 0 {
		copy(c.tried[:], tried)
	}
	return c
}

// Len returns how many there are, at least one.
func (c *Candidates) Len() int { return len(c.set.active) }

// At returns the candidate with index i.
func (c *Candidates) At(i int) *Endpoint { return c.set.active[i] }

// Weight returns the weight of the candidate with index i, at least 1.
func (c *Candidates) Weight(i int) float64 {
	if c.set.weights == nil {
		return 1
	}
	return c.set.weights[i]
}

// Hash returns the hash of the call's key, or 0 if it has none.
func (c *Candidates) Hash() uint64 { return c.hash }

// Load returns how busy the candidate with index i is: its calls in flight,
// more if it has been failing.
func (c *Candidates) Load(i int) float64 {
	e := c.set.active[i]
	load := float64(e.inflight.Load())
	if c.now == 0 {
		return load
	}
	if word := e.failureRate.Load(); word != 0 {
		load = (load+1)*(1+ratePenalty*rateAt(word, c.now)) - 1
	}
	return load
}

// Usable reports whether the candidate with index i should get this call: it
// has not been tried, does not rest, and, in its slow start, is lucky.
func (c *Candidates) Usable(i int) bool {
	return c.free(i) && (c.now == 0 || c.warm(c.set.active[i]))
}

// free is Usable whatever the slow start.
func (c *Candidates) free(i int) bool {
	e := c.set.active[i]
	if c.tried[0] != nil && slices.Contains(c.tried[:], e) {
		return false
	}
	return c.now == 0 || !e.resting(c.now)
}

// warm draws whether an endpoint in its slow start gets a call.
func (c *Candidates) warm(e *Endpoint) bool {
	part := c.warmth(e)
	return part >= 1 || random.Float64(c.set.rand) < part
}

// warmth returns the part of its share that an endpoint may have now: 1 unless
// it is in its slow start.
func (c *Candidates) warmth(e *Endpoint) float64 {
	if !c.set.slowStart || c.now == 0 {
		return 1
	}
	since := e.slowSince.Load()
	if since == 0 {
		return 1
	}
	return max(min(float64(c.now-since)/float64(c.set.slowFor), 1), slowStartFloor)
}

// Draw returns the index of a usable candidate at random, by weight, but not
// other, which is ignored if negative. It returns a negative number if a few
// draws did not find one.
//
// An endpoint in its slow start comes up only if it is the first one drawn, and
// is lucky. It would look idle beside any other, and win: this way it gets no
// more than its part of a fair share.
func (c *Candidates) Draw(other int) int {
	n := len(c.set.active)
	if other >= 0 && n == 1 {
		return -1
	}
	first := other < 0
	for range maxDraws {
		i := c.set.draw(other)
		if i == other || !c.free(i) {
			continue
		}
		part := c.warmth(c.set.active[i])
		if part >= 1 || first && random.Float64(c.set.rand) < part {
			if c.explain != nil {
				c.explain.note(c.set.active[i])
			}
			return i
		}
		first = false
	}
	return -1
}

// How well an endpoint fits a pick, from worst to best.
const (
	fitBadly   = iota // tried, and rests
	fitTried          // tried
	fitResting        // rests
	fitWell
)

// fit tells how well e fits, whatever its slow start.
func (c *Candidates) fit(e *Endpoint, tried []*Endpoint) int {
	fit := fitBadly
	if !slices.Contains(tried, e) {
		fit = fitResting
	}
	if c.now == 0 || !e.resting(c.now) {
		fit++
	}
	return fit
}

// search returns the first of those that fit best, from a random place on, and
// how well it does. It
// looks at all if it must: this is for picks that no draw could serve.
func (c *Candidates) search(tried []*Endpoint) (*Endpoint, int) {
	active := c.set.active
	start := random.IntN(c.set.rand, len(active))
	var best *Endpoint
	bestFit := -1
	for i := range active {
		e := active[(start+i)%len(active)]
		if f := c.fit(e, tried); f > bestFit {
			best, bestFit = e, f
		}
		if bestFit == fitWell {
			break
		}
	}
	return best, bestFit
}
