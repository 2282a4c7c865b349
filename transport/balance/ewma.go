package balance

import "math"

const (
	// hot is how many times what is usual a call must be expected to take for
	// its endpoint to be hot. That is more than chance makes of equal ones.
	hot = 4.0
	// same is how much less a call must cost for it to matter: endpoints that
	// are the same but for rounding must get the same.
	same = 0.95
	// hotCost is how much dearer that makes it: dozens of calls must be waiting
	// elsewhere before one is sent there.
	hotCost = 10.0
	// hotDraws is how many more are drawn while none but hot ones were.
	hotDraws = 3
	// usualSample is out of how many picks one tells what is usual, and counts
	// for as small a part of it: some hundred picks are remembered.
	usualSample = 8
)

// peakEWMA takes, of two that are drawn at random, the one where the call will
// probably be done first: the latency times the calls there is the smaller.
// Source: Finagle's peak EWMA (Twitter 2016), after Mitzenmacher's two choices.
//
// Left to that product, an endpoint that is ten times slower still gets a tenth
// of the calls when the others have ten under way, and one of two bad ones gets
// each call for which both were drawn. So one on which a call would take far
// longer than is usual is hot: it gets none while one that is not is at hand,
// and more are drawn if none is.
//
// Where servers report their load, that counts instead of the client's own
// calls, and the last to report are candidates too. See recent.
type peakEWMA struct{}

func (p peakEWMA) Pick(c Candidates) int { return p.pick(&c) }

func (peakEWMA) pick(c *Candidates) int {
	b := c.set.balancer
	w := wager{c: c, usual: b.usual.latency(), load: b.recent.mean(c.now)}
	first, second, bits := c.drawTwo()
	if first < 0 {
		return -1
	}
	w.begin(first)
	w.offer(second)
	if w.load >= recentFrom {
		w.offerRecent(&b.recent)
	}
	for n := 0; w.hot() && n < hotDraws; n++ {
		w.offer(c.Draw(w.best))
	}
	if bits%usualSample == 0 && c.explain == nil {
		b.usual.learn(w.expected, c.now)
	}
	if w.load > 0 {
		if e := w.c.At(w.best); e.place.Load() != uint32(w.best) {
			e.place.Store(uint32(w.best))
		}
	}
	return w.best
}

func (peakEWMA) cost(c *Candidates, i int) float64 {
	b := c.set.balancer
	w := wager{c: c, usual: b.usual.latency(), load: b.recent.mean(c.now)}
	w.begin(i)
	return w.expected * (w.calls + 1) / c.Weight(i)
}

// A wager is a pick on its way: the best candidate so far.
type wager struct {
	c     *Candidates
	usual float64 // see usual
	load  float64 // the mean of what servers report, 0 if they do not

	best     int
	expected float64 // how long the call would take there, were it alone, and more if it is hot
	calls    float64 // how many are there
}

func (w *wager) begin(i int) {
	w.best = i
	w.expected, w.calls = w.look(i)
}

// look returns what speaks against the candidate with index i.
func (w *wager) look(i int) (expected, calls float64) {
	e := w.c.set.active[i]
	if w.c.explain != nil {
		w.c.explain.note(e)
	}
	d := e.expected(latencyAt(e.latency.Load(), w.c.now, w.usual), w.c.now)
	if w.usual > 0 && d > hot*w.usual {
		d *= hotCost
	}
	n := float64(e.inflight.Load())
	if w.load > 0 {
		n = max(n, e.load(w.load, w.c.now))
	}
	return d, n
}

func (w *wager) hot() bool { return w.usual > 0 && w.expected > hot*w.usual }

// offer takes the candidate with index i if a call is better off there. i may
// be negative: there is none.
//
// Draws follow the weights already. So between unequal ones the first drawn
// keeps the call until the other would be less busy for its weight even with
// it, as in busier, or is at least twice as fast: small differences would make
// all shares equal.
func (w *wager) offer(i int) {
	if i < 0 || i == w.best {
		return
	}
	d, n := w.look(i)
	better := d*(n+1) < same*w.expected*(w.calls+1)
	if w1, w2 := w.c.Weight(w.best), w.c.Weight(i); w1 != w2 {
		with, without := d*(n+1)/w2, w.expected/w1
		better = with < without*w.calls || 2*d < w.expected && with < without*(w.calls+1)
	}
	if better {
		w.best, w.expected, w.calls = i, d, n
	}
}

// drawTwo returns the indices of two usable candidates, by weight, negative
// where a few draws did not find one, and some random bits.
func (c *Candidates) drawTwo() (first, second int, bits uint32) {
	n := uint64(len(c.set.active))
	if c.set.alias != nil || c.set.slowStart || n < 2 || n > math.MaxUint32 {
		first = c.Draw(-1)
		if first >= 0 {
			second = c.Draw(first)
		}
		return first, second, uint32(c.set.rand.Uint64())
	}
	// Both halves of one number, scaled: the bias is n/2^32.
	r := c.set.rand.Uint64()
	first, second = int(r>>32*n>>32), int(r&math.MaxUint32*(n-1)>>32)
	if second >= first {
		second++
	}
	if !c.free(first) {
		first = c.Draw(second)
	}
	if !c.free(second) {
		second = c.Draw(first)
	}
	if first < 0 {
		first, second = second, -1
	}
	return first, second, uint32(r)
}
