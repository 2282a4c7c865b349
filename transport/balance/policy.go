package balance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// The names of policies.
const (
	// PeakEWMA takes of two endpoints drawn at random the one on which the call
	// will probably be done first: the product of its latency and its calls in
	// flight is the smaller. The default.
	PeakEWMA = "p2c-peak-ewma"
	// P2C takes the one of two endpoints drawn at random that has fewer calls
	// in flight.
	P2C = "p2c-least-request"
	// RoundRobin takes one after the other.
	RoundRobin = "round-robin"
	// Random draws one.
	Random = "random"
)

// Defaults of [Policy], used where a field is zero.
const (
	DefaultSlowStart    = 30 * time.Second
	DefaultConsecutive  = 5
	DefaultBase         = 10 * time.Second
	DefaultMax          = 300 * time.Second
	DefaultMaxPercent   = 30
	DefaultPanicPercent = 50
)

// Policy says how calls are spread. It is plain data; a zero field means its
// default. In JSON durations are strings such as "10s", and an unknown name is
// an error.
type Policy struct {
	// Name is PeakEWMA, P2C, RoundRobin or Random. Default PeakEWMA.
	Name string
	// SlowStart is how long an endpoint that is new or has come back takes to
	// get its whole share, starting from 10 %. Default 30 s; negative is none.
	SlowStart time.Duration
	// Ejection says when an endpoint is left out because it fails.
	Ejection Ejection
	// Select names the instances that get calls at all. Default all.
	Select Selector
	// Splits send parts of the calls to parts of the instances. Default none.
	Splits []Split
	// Zones says when calls stay in the caller's zone.
	Zones Zones
}

// Ejection says when and for how long a failing endpoint is left out.
type Ejection struct {
	// Disabled turns ejection off. Unreachable endpoints are still left out.
	Disabled bool
	// Consecutive is how many failures and timeouts in a row eject. Default 5.
	Consecutive int
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

// WithDefaults returns p with every zero field set to its default.
func (p Policy) WithDefaults() Policy {
	e := &p.Ejection
	p.Name = cmp.Or(p.Name, PeakEWMA)
	p.SlowStart = cmp.Or(p.SlowStart, DefaultSlowStart)
	e.Consecutive = cmp.Or(e.Consecutive, DefaultConsecutive)
	e.Base = cmp.Or(e.Base, min(DefaultBase, cmp.Or(e.Max, DefaultBase)))
	e.Max = cmp.Or(e.Max, max(DefaultMax, e.Base))
	e.MaxPercent = cmp.Or(e.MaxPercent, DefaultMaxPercent)
	e.PanicPercent = cmp.Or(e.PanicPercent, DefaultPanicPercent)
	p.Zones.withDefaults()
	return p
}

// Validate reports, joined, everything that is wrong with p. The zero Policy is
// valid.
func (p Policy) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: "+format, args...))
	}
	if !slices.Contains(known, cmp.Or(p.Name, PeakEWMA)) {
		bad("policy %q: want one of %s", p.Name, strings.Join(known, ", "))
	}
	e := p.Ejection
	if e.Consecutive < 0 {
		bad("ejection consecutive %d: must not be negative", e.Consecutive)
	}
	if e.Base < 0 {
		bad("ejection base %v: must not be negative", e.Base)
	}
	if e.Max < 0 {
		bad("ejection max %v: must not be negative", e.Max)
	}
	if e.Base > 0 && e.Max > 0 && e.Max < e.Base {
		bad("ejection max %v: must not be below base %v", e.Max, e.Base)
	}
	if e.MaxPercent < 0 || e.MaxPercent > 100 {
		bad("ejection max_percent %d: want 0 to 100", e.MaxPercent)
	}
	if e.PanicPercent < 0 || e.PanicPercent > 100 {
		bad("ejection panic_percent %d: want 0 to 100", e.PanicPercent)
	}
	for i := range p.Splits {
		errs = append(errs, p.Splits[i].validate(i)...)
	}
	return errors.Join(append(errs, p.Zones.validate())...)
}

// policyJSON is the form of Policy in JSON.
type policyJSON struct {
	Name      string            `json:"policy,omitzero"`
	SlowStart duration.Duration `json:"slow_start,omitzero"`
	Ejection  ejectionJSON      `json:"ejection,omitzero"`
	Select    Selector          `json:"select,omitzero"`
	Splits    []Split           `json:"splits,omitzero"`
	Zones     Zones             `json:"zones,omitzero"`
}

type ejectionJSON struct {
	Disabled     bool              `json:"disabled,omitzero"`
	Consecutive  int               `json:"consecutive,omitzero"`
	Base         duration.Duration `json:"base,omitzero"`
	Max          duration.Duration `json:"max,omitzero"`
	MaxPercent   int               `json:"max_percent,omitzero"`
	PanicPercent int               `json:"panic_percent,omitzero"`
}

func (p Policy) json() policyJSON {
	e := p.Ejection
	return policyJSON{p.Name, duration.Duration(p.SlowStart), ejectionJSON{
		e.Disabled, e.Consecutive, duration.Duration(e.Base), duration.Duration(e.Max), e.MaxPercent, e.PanicPercent,
	}, p.Select, p.Splits, p.Zones}
}

// MarshalJSON writes the fields that are set.
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of p as it was,
// so that one document can be laid over another. After an error p is unchanged.
func (p *Policy) UnmarshalJSON(b []byte) error {
	j := p.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("balance: policy: %w", err)
	}
	e := j.Ejection
	*p = Policy{j.Name, time.Duration(j.SlowStart), Ejection{
		e.Disabled, e.Consecutive, time.Duration(e.Base), time.Duration(e.Max), e.MaxPercent, e.PanicPercent,
	}, j.Select, j.Splits, j.Zones}
	return nil
}
