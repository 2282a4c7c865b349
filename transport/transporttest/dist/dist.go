package dist

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kinds of distributions, each with the settings that it takes. Those in
// brackets may be left out.
const (
	// KindConstant: always Mean. The default.
	KindConstant = "constant"
	// KindUniform: everything from Min to Max alike.
	KindUniform = "uniform"
	// KindExponential: Mean [Min Max].
	KindExponential = "exponential"
	// KindNormal: Mean and SD [Min Max].
	KindNormal = "normal"
	// KindLognormal: Mean and SD, those of the durations and not of their
	// logarithms [Min Max].
	KindLognormal = "lognormal"
	// KindPareto: from Min on, with a tail as heavy as Alpha is small [Max].
	KindPareto = "pareto"
	// KindQuantiles: through Quantiles or those in File, straight lines
	// between them.
	KindQuantiles = "quantiles"
)

// Dist is a distribution of durations that are never negative. It is plain
// data; the zero Dist is the constant 0. A Dist is not changed by its methods
// and may be used by any number of goroutines.
type Dist struct {
	// Kind is one of the kinds above. Default KindConstant.
	Kind string
	// Mean is the mean before Min and Max have cut the distribution;
	// [Dist.MeanOf] is the one after.
	Mean time.Duration
	// SD is the standard deviation before Min and Max have cut it.
	SD time.Duration
	// Min and Max cut the distribution: what is outside is drawn again, so to
	// speak, so that nothing piles up at the ends. Default 0 and no bound.
	Min, Max time.Duration
	// Alpha is the tail index of a Pareto distribution. With no Max it must be
	// above 1, or there is no mean.
	Alpha float64
	// Quantiles lie in ascending order of Q, and D does not fall. Below the
	// first one everything is as short as it, above the last one as long.
	Quantiles []Quantile
	// File names a file of quantiles or samples for [Dist.Load] to read, in
	// the forms that [ReadQuantiles] knows.
	File string
}

// Quantile says that the part Q of all durations, 0 to 1, is not above D.
type Quantile struct {
	Q float64
	D time.Duration
}

// Constant returns the distribution that is always d.
func Constant(d time.Duration) Dist { return Dist{Mean: d} }

// Uniform returns the distribution from lo to hi in which all are alike.
func Uniform(lo, hi time.Duration) Dist { return Dist{Kind: KindUniform, Min: lo, Max: hi} }

// Exponential returns the distribution of the time between events that know
// nothing of each other and are mean apart on average.
func Exponential(mean time.Duration) Dist { return Dist{Kind: KindExponential, Mean: mean} }

// Normal returns the bell curve around mean without its negative part.
func Normal(mean, sd time.Duration) Dist { return Dist{Kind: KindNormal, Mean: mean, SD: sd} }

// Lognormal returns the distribution with this mean and this standard deviation
// whose logarithm is normal: the usual shape of service times.
func Lognormal(mean, sd time.Duration) Dist {
	return Dist{Kind: KindLognormal, Mean: mean, SD: sd}
}

// Pareto returns the distribution that begins at lo and has a heavy tail: the
// part (lo/x)^alpha is above x.
func Pareto(lo time.Duration, alpha float64) Dist {
	return Dist{Kind: KindPareto, Min: lo, Alpha: alpha}
}

// FromQuantiles returns the distribution through q, in ascending order.
func FromQuantiles(q ...Quantile) Dist { return Dist{Kind: KindQuantiles, Quantiles: q} }

// kind is Kind with its default.
func (d Dist) kind() string {
	if d.Kind == "" {
		return KindConstant
	}
	return d.Kind
}

// String describes d in a few words, such as "20ms" or
// "lognormal(mean 20ms, sd 8ms)".
func (d Dist) String() string {
	if d.kind() == KindConstant {
		return d.Mean.String()
	}
	var parts []string
	for _, s := range d.settings() {
		if s.set {
			parts = append(parts, s.name+" "+s.text)
		}
	}
	return d.Kind + "(" + strings.Join(parts, ", ") + ")"
}

// setting is one field of a Dist that not every kind takes.
type setting struct {
	name, text string
	set        bool
}

func (d Dist) settings() []setting {
	return []setting{
		{"mean", d.Mean.String(), d.Mean != 0},
		{"sd", d.SD.String(), d.SD != 0},
		{"min", d.Min.String(), d.Min != 0},
		{"max", d.Max.String(), d.Max != 0},
		{"alpha", fmt.Sprint(d.Alpha), d.Alpha != 0},
		{"quantiles", strconv.Itoa(len(d.Quantiles)), len(d.Quantiles) > 0},
		{"file", d.File, d.File != ""},
	}
}
