package limit

import (
	"errors"
	"fmt"
	"math"

	"github.com/gabion-go/gabion/internal/strictjson"
)

// DefaultMaxInflight is the default of [Policy.MaxInflight].
const DefaultMaxInflight = 1024

// Policy bounds the calls of one client to one service. It is plain data, and a
// zero field means its default. In JSON an unknown name is an error.
type Policy struct {
	// MaxInflight is the most calls in flight at once, streams included until
	// they end. Default 1024.
	MaxInflight int `json:"max_inflight,omitzero"`
	// Shares says what part of them less critical calls may fill.
	Shares Shares `json:"shares,omitzero"`
	// Shadow lets calls through that would be refused, and counts them.
	Shadow bool `json:"shadow,omitzero"`
}

// Shares are the parts of all places that calls of each class may fill, above 0
// and up to 1: a call gets a place if fewer than that are taken, by whatever
// calls. Calls that are critical_plus may fill all. A class must not have less
// than a less critical one. In JSON an unknown name is an error.
type Shares struct {
	// Sheddable is for what may be refused often. Default 0.5.
	Sheddable float64 `json:"sheddable,omitzero"`
	// SheddablePlus is for batch work. Default 0.75.
	SheddablePlus float64 `json:"sheddable_plus,omitzero"`
	// Critical is for all that is not marked. Default 1; below it, the rest is
	// kept for calls that are critical_plus.
	Critical float64 `json:"critical,omitzero"`
}

// Max returns MaxInflight or its default.
func (p Policy) Max() int {
	if p.MaxInflight == 0 {
		return DefaultMaxInflight
	}
	return p.MaxInflight
}

// WithDefaults returns p with every zero field set to its default. A class
// without a share of its own has at least that of the class below it, and at
// most that of the class above.
func (p Policy) WithDefaults() Policy {
	p.MaxInflight, p.Shares = p.Max(), p.Shares.withDefaults()
	return p
}

func (s Shares) withDefaults() Shares {
	if s.Critical == 0 {
		s.Critical = 1
	}
	if s.SheddablePlus == 0 {
		s.SheddablePlus = min(max(0.75, s.Sheddable), s.Critical)
	}
	if s.Sheddable == 0 {
		s.Sheddable = min(0.5, s.SheddablePlus)
	}
	return s
}

// Validate reports, joined, everything that is wrong with p. The zero Policy is
// valid.
func (p Policy) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("limit: "+format, args...))
	}
	if p.MaxInflight < 0 {
		bad("max_inflight %d: must not be negative", p.MaxInflight)
	}
	s := p.Shares.withDefaults()
	for _, class := range []struct {
		c            Criticality
		share, below float64
	}{
		{Sheddable, s.Sheddable, 0},
		{SheddablePlus, s.SheddablePlus, s.Sheddable},
		{Critical, s.Critical, s.SheddablePlus},
	} {
		switch {
		case math.IsNaN(class.share) || class.share <= 0 || class.share > 1:
			bad("shares: %v %v: must be above 0 and at most 1", class.c, class.share)
		case class.share < class.below:
			bad("shares: %v %v: must not be below %v, the share of %v", class.c, class.share, class.below, class.c-1)
		}
	}
	return errors.Join(errs...)
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was.
func (p *Policy) UnmarshalJSON(b []byte) error {
	type plain Policy
	j := plain(*p)
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("limit: policy: %w", err)
	}
	*p = Policy(j)
	return nil
}
