package limit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// A ThrottlePolicy says when a [Throttle] holds calls back. It is plain data, a
// zero field means its default, and the zero policy holds nothing back. In JSON
// durations are strings, and an unknown name is an error.
type ThrottlePolicy struct {
	// On makes the throttle work. Default off.
	On bool
	// K is how many calls may be sent for each one that is accepted: below 2
	// the throttle sets in earlier, and sends a recovering service less to
	// recover on. Default 2; from 1 to 100.
	K float64
	// Window is for how long a call is remembered. Default 30 s; from 1 s to
	// 1 h.
	Window time.Duration
	// Shadow lets calls through that would be held back, and counts them as held
	// back, whatever comes of them. The service's circuit guards meanwhile.
	Shadow bool
}

// WithDefaults returns p with every zero field set to its default.
func (p ThrottlePolicy) WithDefaults() ThrottlePolicy {
	if p.K == 0 {
		p.K = 2
	}
	if p.Window == 0 {
		p.Window = 30 * time.Second
	}
	return p
}

// Validate reports, joined, everything that is wrong with p. The zero policy is
// valid.
func (p ThrottlePolicy) Validate() error {
	p = p.WithDefaults()
	var errs []error
	if math.IsNaN(p.K) || p.K < 1 || p.K > 100 {
		errs = append(errs, fmt.Errorf("limit: throttle: k %v: must be from 1 to 100", p.K))
	}
	if p.Window < time.Second || p.Window > time.Hour {
		errs = append(errs, fmt.Errorf("limit: throttle: window %v: must be from 1s to 1h", p.Window))
	}
	return errors.Join(errs...)
}

type throttlePolicyJSON struct {
	On     bool              `json:"on,omitzero"`
	K      float64           `json:"k,omitzero"`
	Window duration.Duration `json:"window,omitzero"`
	Shadow bool              `json:"shadow,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (p ThrottlePolicy) MarshalJSON() ([]byte, error) {
	return json.Marshal(throttlePolicyJSON{p.On, p.K, duration.Duration(p.Window), p.Shadow})
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was.
func (p *ThrottlePolicy) UnmarshalJSON(b []byte) error {
	j := throttlePolicyJSON{p.On, p.K, duration.Duration(p.Window), p.Shadow}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("limit: throttle: %w", err)
	}
	*p = ThrottlePolicy{j.On, j.K, time.Duration(j.Window), j.Shadow}
	return nil
}
