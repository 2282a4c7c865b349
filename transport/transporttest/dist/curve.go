package dist

import "math"

// A curve is a distribution with a formula, in nanoseconds and before Min and
// Max cut it.
type curve interface {
	// below returns the part of the distribution that is not above x, which
	// may be infinite.
	below(x float64) float64
	// inverse returns the x with below(x) = p.
	inverse(p float64) float64
	// mean returns the mean of the part between lo and hi.
	mean(lo, hi float64) float64
}

// curve returns nil for a kind without one.
func (d Dist) curve() curve {
	switch d.Kind {
	case KindExponential:
		return exponential{float64(d.Mean)}
	case KindNormal:
		return normal{float64(d.Mean), float64(d.SD)}
	case KindLognormal:
		return newLognormal(float64(d.Mean), float64(d.SD))
	case KindPareto:
		return pareto{float64(d.Min), d.Alpha}
	}
	return nil
}

type exponential struct{ m float64 }

func (e exponential) below(x float64) float64   { return -math.Expm1(-x / e.m) }
func (e exponential) inverse(p float64) float64 { return -e.m * math.Log1p(-p) }

func (e exponential) mean(lo, hi float64) float64 {
	if math.IsInf(hi, 1) {
		return lo + e.m
	}
	w := hi - lo
	return lo + e.m - w/math.Expm1(w/e.m)
}

type normal struct{ mu, sigma float64 }

func (n normal) below(x float64) float64   { return phi((x - n.mu) / n.sigma) }
func (n normal) inverse(p float64) float64 { return n.mu + n.sigma*probit(p) }

// mean: Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions",
// volume 1, 1994, section 13.10.1.
func (n normal) mean(lo, hi float64) float64 {
	a, b := (lo-n.mu)/n.sigma, (hi-n.mu)/n.sigma
	return n.mu + n.sigma*(density(a)-density(b))/(phi(b)-phi(a))
}

// lognormal is exp of a normal.
type lognormal struct{ normal }

// newLognormal finds the normal whose exponential has this mean and this
// standard deviation.
func newLognormal(mean, sd float64) lognormal {
	v := math.Log1p(sd / mean * (sd / mean))
	return lognormal{normal{math.Log(mean) - v/2, math.Sqrt(v)}}
}

func (l lognormal) below(x float64) float64   { return l.normal.below(math.Log(x)) }
func (l lognormal) inverse(p float64) float64 { return math.Exp(l.normal.inverse(p)) }

func (l lognormal) mean(lo, hi float64) float64 {
	a, b := (math.Log(lo)-l.mu)/l.sigma, (math.Log(hi)-l.mu)/l.sigma
	whole := math.Exp(l.mu + l.sigma*l.sigma/2)
	return whole * (phi(b-l.sigma) - phi(a-l.sigma)) / (phi(b) - phi(a))
}

type pareto struct{ min, alpha float64 }

func (p pareto) below(x float64) float64   { return 1 - math.Pow(p.min/x, p.alpha) }
func (p pareto) inverse(u float64) float64 { return p.min * math.Pow(1-u, -1/p.alpha) }

func (p pareto) mean(_, hi float64) float64 {
	switch {
	case math.IsInf(hi, 1):
		return p.min * p.alpha / (p.alpha - 1)
	case p.alpha == 1:
		return p.min * math.Log(hi/p.min) / p.below(hi)
	}
	rest := math.Pow(p.min/hi, p.alpha-1)
	return p.min * p.alpha / (p.alpha - 1) * (1 - rest) / p.below(hi)
}

// phi is the distribution function of the standard normal distribution,
// density its derivative and probit its inverse.
func phi(x float64) float64     { return math.Erfc(-x/math.Sqrt2) / 2 }
func density(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
func probit(p float64) float64  { return math.Sqrt2 * math.Erfinv(2*p-1) }
