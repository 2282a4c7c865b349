package limit

import (
	"math"
	"time"
)

const (
	// While requests take less than growBelow times their unhurried time the
	// limit grows; above suspectAbove times it they may be queueing.
	growBelow    = 1.5
	suspectAbove = 2.0
	// patience is for how long the time may lie between the two before the
	// unhurried time itself is questioned.
	patience = 15 * time.Second
	// maxSpan bounds span, and with it how long a change takes to settle.
	maxSpan = 2 * time.Second
	// confidence is how many standard errors a finding must be away from chance.
	confidence = 2.2
	// testFactor is by how much a test cuts the limit, at least and at most.
	testFactor, testFactorMin = 0.7, 0.35
	// tellingMargin is how many times the doubt the expected result of a test
	// should be, tellingFactorMin the deepest cut for the sake of that.
	tellingMargin, tellingFactorMin = 1.5, 0.5
	// testLasting bounds a step whose result is in doubt.
	testLasting = time.Second
	// someDropped is the share of requests running out of time that matters.
	someDropped = 0.1
	// dropFactor and dropSteps are for tests that most requests do not survive.
	dropFactor, dropSteps = 0.5, 4
	// dropPause is the least time between two such tests.
	dropPause = 10 * time.Second
)

// controller finds the limit. The limiter's lock guards it.
//
// It compares how long requests take with how long they take unhurried, window
// by window, and only while there are more requests than places. Little's law
// tells what the comparison means: requests that wait for each other take
// longer in proportion to their number, and the server does no more of them.
// But a request may also take long because it is another kind of request, or
// because something downstream is slow, and then a smaller limit would only
// make the server do less. The two look alike, so the controller does not guess
// but tests: it cuts the limit and looks whether the time falls with it. If so,
// requests were queueing; it goes on down until the time no longer follows, and
// stays on the step before. If not, the limit comes back and the longer time is
// the unhurried one from then on.
//
// The time of a window is the mean, to which Little's law applies, with what is
// far out cut off, so that a few requests that hang change little.
//
// Related: Vegas (Brakmo, Peterson, IEEE JSAC 13(8), 1995), whose thresholds on
// estimated queueing these are, and extremum seeking, which tests by moving.
type controller struct {
	current, min, max int

	win     window
	changed time.Time     // of the last cut or restoration: earlier requests say nothing
	settled time.Time     // when those are done, and not only the quick of the later ones
	span    time.Duration // see window.span, of the last window
	reached bool          // all places were taken in this window
	peak    int           // the most places taken in this window

	unhurried   float64   // logarithm of nanoseconds
	known       bool      // unhurried is
	holding     time.Time // since when the limit is held, between growing and suspecting; zero if it is not
	test        test
	lastDropped time.Time // end of the last test that most requests did not survive
	tolerated   float64   // what share runs out of time that fewer at once would not save
}

// test is a walk downwards, step by step.
type test struct {
	running bool
	from    int     // the limit when it began
	before  int     // the limit before the last step
	time    float64 // what requests took at that limit
	doubt   float64 // how uncertain that is
	dropped float64 // what share of them ran out of time there
	steps   int
	factor  float64
}

func newController(s Settings) controller {
	return controller{current: s.Initial, min: s.Min, max: s.Max}
}

func (c *controller) limit() int { return c.current }

// admitted notes that so many places are taken.
func (c *controller) admitted(inflight int) {
	c.peak = max(c.peak, inflight)
	if inflight >= c.current {
		c.reached = true
	}
}

// full notes that there was no place for a request.
func (c *controller) full() { c.reached = true }

// finished takes in a request that began at start.
func (c *controller) finished(now, start time.Time, o Outcome) {
	if o == Ignored || c.min == c.max || start.Before(c.changed) || now.Before(c.settled) {
		return
	}
	if c.win.n == 0 {
		c.win.opened = now
	}
	usual := 0.0
	if c.known {
		usual = math.Exp(c.unhurried)
	}
	c.win.add(now.Sub(start), usual, o == Dropped)
	if c.win.enough(now) && !c.undecided(now) {
		c.span = min(c.win.span(), maxSpan)
		c.decide(now)
		c.win, c.reached, c.peak = window{}, false, 0
	}
}

// undecided reports whether a step of a test should go on for longer, because
// what it has seen so far may be chance.
func (c *controller) undecided(now time.Time) bool {
	if !c.test.running || !c.reached || c.win.mostDropped() || now.Sub(c.win.opened) > testLasting {
		return false
	}
	return math.Abs(c.lag()) < c.lagDoubt()
}

// follows reports whether the time has fallen with the limit, beyond doubt.
func (c *controller) follows() bool { return c.lag() <= -c.lagDoubt() }

// mayFollow reports whether it seems to have. What is in doubt must not be taken
// for work that takes longer: each such error would raise the limit, and nothing
// would bring it down again.
func (c *controller) mayFollow() bool { return c.lag() < 0 }

// fewerDropped reports whether fewer run out of time since the last cut, beyond
// doubt: the difference of two shares of n is off by 1/sqrt(2n) at most.
func (c *controller) fewerDropped() bool {
	doubt := confidence / math.Sqrt(2*float64(c.win.n))
	return c.test.dropped-c.win.dropped() > someDropped+doubt
}

// lagDoubt returns how far from 0 the lag must be to be believed.
func (c *controller) lagDoubt() float64 {
	return confidence * math.Hypot(c.win.doubt(), c.test.doubt)
}

// lag returns by how much the time has not followed the last cut: below 0 if
// it has fallen by more than half as much.
func (c *controller) lag() float64 {
	cut := math.Log(float64(c.current) / float64(c.test.before))
	return c.win.time() - c.test.time - cut/2
}

// decide ends a window.
func (c *controller) decide(now time.Time) {
	took := c.win.time()
	c.tolerated = min(c.tolerated, c.win.dropped())
	switch {
	case c.test.running && !c.reached:
		c.restore(now) // demand has gone: nothing to be learnt
	case c.test.running:
		c.step(now, took)
	case !c.reached:
		c.relax(took)
	case !c.known:
		c.begin(now, took, testFactor)
	case c.win.mostDropped() && now.Sub(c.lastDropped) >= dropPause:
		c.begin(now, took, dropFactor)
	default:
		c.compare(now, took)
	}
}

// relax learns from a window in which nobody waited for a place. When less than
// half were taken, what requests took is what they take.
func (c *controller) relax(took float64) {
	switch {
	case !c.known || c.peak*2 <= c.current && took < c.unhurried:
		c.unhurried = took
	case c.peak*2 <= c.current:
		c.unhurried += 0.3 * (took - c.unhurried)
	case took < c.unhurried:
		c.unhurried += 0.3 * (took - c.unhurried)
	}
	c.known = true
}

// compare grows, holds, or suspects.
func (c *controller) compare(now time.Time, took float64) {
	switch slower := took - c.unhurried; {
	case slower <= math.Log(growBelow) && c.win.dropped() < c.tolerated+someDropped:
		if slower < -2*confidence*c.win.doubt() {
			c.unhurried += slower / 2 // the work itself has become faster
		}
		c.grow()
	case slower-confidence*c.win.doubt() > math.Log(suspectAbove):
		c.begin(now, took, min(testFactor, max(testFactorMin, math.Exp(-slower/2))))
	default:
		if c.holding.IsZero() {
			c.holding = now
		} else if now.Sub(c.holding) >= patience {
			c.begin(now, took, testFactor)
		}
	}
}

func (c *controller) grow() {
	c.holding = time.Time{}
	c.current = min(c.max, c.current+max(1, int(math.Sqrt(float64(c.current)))))
}

// begin starts a test with its first step.
func (c *controller) begin(now time.Time, took, factor float64) {
	c.holding = time.Time{}
	if c.current <= c.min {
		c.accept(took) // there is nothing to cut
		return
	}
	c.test = test{running: true, from: c.current, factor: min(factor, max(tellingFactorMin, c.telling(now)))}
	c.cut(now, took)
}

// telling returns by what factor the limit must be cut for the result to stand
// out from chance, if requests go on ending as often as in this window: the fewer
// they are the deeper.
func (c *controller) telling(now time.Time) float64 {
	later := c.win.doubt() * math.Sqrt(float64(now.Sub(c.win.opened))/float64(testLasting))
	return math.Exp(-2 * tellingMargin * confidence * math.Hypot(c.win.doubt(), later))
}

// cut takes one step down from a limit at which requests took so long.
func (c *controller) cut(now time.Time, took float64) {
	c.test.before, c.test.time, c.test.doubt = c.current, took, c.win.doubt()
	c.test.dropped = c.win.dropped()
	c.test.steps++
	c.set(now, max(c.min, min(c.current-1, int(float64(c.current)*c.test.factor))))
}

// step ends a step of a test.
func (c *controller) step(now time.Time, took float64) {
	t := &c.test
	if c.win.mostDropped() {
		c.lastDropped = now
		if t.steps >= dropSteps || c.current <= c.min {
			c.accept(took)
			c.restore(now) // fewer at once do not fare better: it is not us
			return
		}
		c.cut(now, took)
		return
	}
	switch {
	case c.fewerDropped() && c.current > c.min:
		// Fewer at once fare better, though what they took was the time they had.
		c.cut(now, took)
	case !c.follows():
		if !c.mayFollow() { // or else the next test may tell
			c.accept(took)
		}
		before := t.before
		t.running = false
		c.set(now, before)
	case c.current <= c.min:
		c.accept(took)
		t.running = false
	default:
		c.cut(now, took)
	}
}

// accept takes what requests took, and what share of them ran out of time, for
// what cannot be helped.
func (c *controller) accept(took float64) {
	c.unhurried, c.known = took, true
	c.tolerated = c.win.dropped()
}

// restore ends a test without a result.
func (c *controller) restore(now time.Time) {
	c.test.running = false
	c.set(now, c.test.from)
}

func (c *controller) set(now time.Time, limit int) {
	c.current, c.changed = limit, now
	c.settled = now.Add(2 * c.span)
}
