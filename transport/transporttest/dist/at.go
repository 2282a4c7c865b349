package dist

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// At returns the duration below which the part u of all durations lies: the
// inverse of the distribution function. u is in [0, 1), and what is outside is
// moved to its edge. A larger u never gives a shorter duration. The result of a
// Dist that [Dist.Validate] refuses, or whose File has not been read, says
// nothing.
func (d Dist) At(u float64) time.Duration {
	u = unit(u)
	switch d.kind() {
	case KindConstant:
		return d.Mean
	case KindUniform:
		return d.Min + toDuration(u*float64(d.Max-d.Min))
	case KindQuantiles:
		return interpolate(d.Quantiles, u)
	}
	c := d.curve()
	if c == nil {
		return 0
	}
	lo, hi := d.bounds()
	from, to := c.below(lo), c.below(hi)
	x := c.inverse(from + u*(to-from))
	return toDuration(max(lo, min(x, hi)))
}

// largest is the largest number below 1.
const largest = 1 - 1.0/(1<<53)

func unit(u float64) float64 {
	if !(u > 0) { // NaN too
		return 0
	}
	return min(u, largest)
}

// bounds returns Min and Max in nanoseconds, Max being infinite if there is
// none.
func (d Dist) bounds() (lo, hi float64) {
	if d.Max == 0 {
		return float64(d.Min), math.Inf(1)
	}
	return float64(d.Min), float64(d.Max)
}

// toDuration rounds ns down, and to the longest duration there is.
func toDuration(ns float64) time.Duration {
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}

// interpolate returns the value at u of the lines through q.
func interpolate(q []Quantile, u float64) time.Duration {
	if len(q) == 0 {
		return 0
	}
	i, exact := slices.BinarySearchFunc(q, u, func(q Quantile, u float64) int { return cmp.Compare(q.Q, u) })
	switch {
	case i == len(q):
		return q[i-1].D
	case exact || i == 0:
		return q[i].D
	}
	a, b := q[i-1], q[i]
	return a.D + toDuration(float64(b.D-a.D)*(u-a.Q)/(b.Q-a.Q))
}
