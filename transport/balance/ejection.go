package balance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// Defaults of [Ejection], used where a field is zero.
const (
	DefaultConsecutive    = 5
	DefaultInterval       = 10 * time.Second
	DefaultMinCalls       = 20
	DefaultFailurePercent = 50
	DefaultGap            = 20
	DefaultBase           = 10 * time.Second
	DefaultMax            = 300 * time.Second
	DefaultMaxPercent     = 30
	DefaultPanicPercent   = 50
)

// Ejection says when and for how long an endpoint is left out because it is
// worse than the others.
type Ejection struct {
	// Disabled turns ejection off. Unreachable endpoints are still left out.
	Disabled bool
	// Shadow decides who would be ejected, and for how long, but leaves nobody
	// out for it: [Balancer.ShadowEjections] counts. Calls that would have gone
	// elsewhere go on failing, so the numbers are a little above the real ones.
	Shadow bool
	// Consecutive is how many failures and timeouts in a row eject. Default 5.
	Consecutive int
	// Interval is how long calls are counted before endpoints are compared. An
	// endpoint is ejected if in an interval MinCalls or more of its calls
	// ended, more than FailurePercent of them failed, and that is at least Gap
	// percentage points more than the median of all with so many calls: in a
	// set that fails as a whole nobody is an outlier. Calls that were cancelled
	// do not count. Default 10 s.
	Interval time.Duration
	// MinCalls is the least number of calls to compare by. Default 20.
	MinCalls int
	// FailurePercent: see Interval. Default 50; 100 turns the rule off.
	FailurePercent int
	// Gap: see Interval. Default 20.
	Gap int
	// LatencyFactor ejects an endpoint whose calls took longer, on average over
	// an interval with MinCalls or more of them, than so many times the median
	// of all such averages. It must be above 1; zero is never, the default:
	// policies that go by latency take calls away from a slow endpoint, but
	// leave it enough of them to notice that it has recovered.
	LatencyFactor float64
	// Base is how long the first ejection lasts; the second lasts twice as
	// long, the third three times, up to Max, each plus up to 10 % at random.
	// One is forgotten for every Base in service. Default 10 s.
	Base time.Duration
	// Max bounds one ejection. Default 300 s.
	Max time.Duration
	// MaxPercent is how much of the set may be ejected at once: that part
	// rounded down, but one if there are three or more. Default 30. The last
	// available endpoint is never ejected.
	MaxPercent int
	// PanicPercent: when less than this part of the set is available, ejected
	// endpoints are used like the others. Default 50.
	PanicPercent int
}

func (e *Ejection) withDefaults() {
	e.Consecutive = cmp.Or(e.Consecutive, DefaultConsecutive)
	e.Interval = cmp.Or(e.Interval, DefaultInterval)
	e.MinCalls = cmp.Or(e.MinCalls, DefaultMinCalls)
	e.FailurePercent = cmp.Or(e.FailurePercent, DefaultFailurePercent)
	e.Gap = cmp.Or(e.Gap, DefaultGap)
	e.Base = cmp.Or(e.Base, min(DefaultBase, cmp.Or(e.Max, DefaultBase)))
	e.Max = cmp.Or(e.Max, max(DefaultMax, e.Base))
	e.MaxPercent = cmp.Or(e.MaxPercent, DefaultMaxPercent)
	e.PanicPercent = cmp.Or(e.PanicPercent, DefaultPanicPercent)
}

func (e *Ejection) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: ejection "+format, args...))
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"consecutive", e.Consecutive}, {"min_calls", e.MinCalls}} {
		if n.value < 0 {
			bad("%s %d: must not be negative", n.name, n.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"interval", e.Interval}, {"base", e.Base}, {"max", e.Max}} {
		if d.value < 0 {
			bad("%s %v: must not be negative", d.name, d.value)
		}
	}
	if e.Base > 0 && e.Max > 0 && e.Max < e.Base {
		bad("max %v: must not be below base %v", e.Max, e.Base)
	}
	for _, p := range []struct {
		name  string
		value int
	}{{"failure_percent", e.FailurePercent}, {"gap", e.Gap}, {"max_percent", e.MaxPercent}, {"panic_percent", e.PanicPercent}} {
		if p.value < 0 || p.value > 100 {
			bad("%s %d: want 0 to 100", p.name, p.value)
		}
	}
	if f := e.LatencyFactor; f != 0 && !(f > 1 && f <= math.MaxFloat64) { // NaN too
		bad("latency_factor %v: must be above 1, or 0 for none", f)
	}
	return errors.Join(errs...)
}

// ejectionJSON is the form of Ejection in JSON.
type ejectionJSON struct {
	Disabled       bool              `json:"disabled,omitzero"`
	Shadow         bool              `json:"shadow,omitzero"`
	Consecutive    int               `json:"consecutive,omitzero"`
	Interval       duration.Duration `json:"interval,omitzero"`
	MinCalls       int               `json:"min_calls,omitzero"`
	FailurePercent int               `json:"failure_percent,omitzero"`
	Gap            int               `json:"gap,omitzero"`
	LatencyFactor  float64           `json:"latency_factor,omitzero"`
	Base           duration.Duration `json:"base,omitzero"`
	Max            duration.Duration `json:"max,omitzero"`
	MaxPercent     int               `json:"max_percent,omitzero"`
	PanicPercent   int               `json:"panic_percent,omitzero"`
}

func (e Ejection) json() ejectionJSON {
	return ejectionJSON{
		e.Disabled, e.Shadow, e.Consecutive, duration.Duration(e.Interval), e.MinCalls, e.FailurePercent, e.Gap,
		e.LatencyFactor, duration.Duration(e.Base), duration.Duration(e.Max), e.MaxPercent, e.PanicPercent,
	}
}

func (j ejectionJSON) ejection() Ejection {
	return Ejection{
		j.Disabled, j.Shadow, j.Consecutive, time.Duration(j.Interval), j.MinCalls, j.FailurePercent, j.Gap,
		j.LatencyFactor, time.Duration(j.Base), time.Duration(j.Max), j.MaxPercent, j.PanicPercent,
	}
}
