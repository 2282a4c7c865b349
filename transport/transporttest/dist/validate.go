package dist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// takes lists by kind the settings that it takes, in the order of Dist.
func takes(kind string) []string {
	switch kind {
	case KindConstant:
		return []string{"mean"}
	case KindUniform:
		return []string{"min", "max"}
	case KindExponential:
		return []string{"mean", "min", "max"}
	case KindNormal, KindLognormal:
		return []string{"mean", "sd", "min", "max"}
	case KindPareto:
		return []string{"min", "max", "alpha"}
	case KindQuantiles:
		return []string{"quantiles", "file"}
	}
	return nil
}

// Validate reports, joined, everything that is wrong with d. A setting that the
// kind does not take is an error. The zero Dist is valid.
func (d Dist) Validate() error {
	kind := d.kind()
	taken := takes(kind)
	if taken == nil {
		return fmt.Errorf("dist: kind %.40q: want %s", kind, strings.Join([]string{
			KindConstant, KindUniform, KindExponential, KindNormal, KindLognormal, KindPareto, "or " + KindQuantiles,
		}, ", "))
	}
	var errs []error
	for _, s := range d.settings() {
		if s.set && !slices.Contains(taken, s.name) {
			errs = append(errs, fmt.Errorf("dist: %s %.40s: a %s distribution has none, leave it out", s.name, s.text, kind))
		}
	}
	if kind == KindQuantiles {
		return errors.Join(append(errs, d.validateQuantiles())...)
	}
	return errors.Join(append(errs, d.validateShape(taken))...)
}

// validateShape checks the kinds with a formula.
func (d Dist) validateShape(taken []string) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("dist: "+format, args...))
	}
	has := func(name string) bool { return slices.Contains(taken, name) }
	kind := d.kind()
	if has("mean") && (d.Mean < 0 || d.Mean == 0 && (kind == KindExponential || kind == KindLognormal)) {
		bad("mean %v: must be positive", d.Mean)
	}
	if has("sd") && d.SD <= 0 {
		bad("sd %v: must be positive; for no deviation use kind %q", d.SD, KindConstant)
	}
	if has("min") && (d.Min < 0 || d.Min == 0 && kind == KindPareto) {
		bad("min %v: must be positive", d.Min)
	}
	if has("max") && (d.Max < 0 || d.Max > 0 && d.Max <= d.Min || d.Max == 0 && kind == KindUniform) {
		bad("max %v: must be above min %v", d.Max, d.Min)
	}
	if has("alpha") && !(d.Alpha > 0 && d.Alpha <= maxAlpha) {
		bad("alpha %v: want a number above 0 and up to %d", d.Alpha, maxAlpha)
	}
	if has("alpha") && d.Alpha > 0 && d.Alpha <= 1 && d.Max == 0 {
		bad("alpha %v: there is no mean; set max, or alpha above 1", d.Alpha)
	}
	if len(errs) == 0 {
		errs = append(errs, d.validateCut())
	}
	return errors.Join(errs...)
}

// maxAlpha bounds Alpha: beyond it the distribution is all but constant.
const maxAlpha = 1000

// least is the smallest part of a distribution that Min and Max may leave:
// with less, nothing but rounding errors would be drawn.
const least = 1e-6

func (d Dist) validateCut() error {
	c := d.curve()
	if c == nil {
		return nil
	}
	lo, hi := d.bounds()
	if part := c.below(hi) - c.below(lo); !(part >= least) {
		return fmt.Errorf("dist: min %v, max %v: they leave next to nothing of %v; move them towards the mean", d.Min, d.Max, d)
	}
	return nil
}

func (d Dist) validateQuantiles() error {
	if d.File != "" {
		if len(d.Quantiles) > 0 {
			return errors.New("dist: quantiles and file: set one of the two")
		}
		return nil
	}
	if len(d.Quantiles) == 0 {
		return errors.New("dist: quantiles: want at least one, or a file")
	}
	var errs []error
	for i, q := range d.Quantiles {
		if !(q.Q >= 0 && q.Q <= 1) {
			errs = append(errs, fmt.Errorf("dist: quantiles[%d]: q %v: want 0 to 1", i, q.Q))
		}
		if q.D < 0 {
			errs = append(errs, fmt.Errorf("dist: quantiles[%d]: d %v: must not be negative", i, q.D))
		}
		if i == 0 {
			continue
		}
		before := d.Quantiles[i-1]
		if !(q.Q > before.Q) {
			errs = append(errs, fmt.Errorf("dist: quantiles[%d]: q %v: must be above the %v before it", i, q.Q, before.Q))
		}
		if q.D < before.D {
			errs = append(errs, fmt.Errorf("dist: quantiles[%d]: d %v: must not be below the %v before it", i, q.D, before.D))
		}
	}
	return errors.Join(errs...)
}
