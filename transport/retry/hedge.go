package retry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Defaults of [Hedge], used where a field is zero.
const (
	DefaultHedgeQuantile = 0.95
	DefaultHedgeSamples  = 100
	DefaultHedgeMinDelay = time.Millisecond
	DefaultHedgeShare    = 0.02
)

// Hedge says when a call that is late is sent a second time, to another
// endpoint: the first success wins and the other attempt is cancelled. It is
// off unless asked for, and only for calls that may be delivered twice. In JSON
// durations are strings, and an unknown name is an error. Source: Dean and
// Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013.
type Hedge struct {
	// On turns hedging on.
	On bool
	// Quantile is the share of recent calls that must have been faster than a
	// call for it to be late. From 0.5 to below 1. Default 0.95.
	Quantile float64
	// Samples is how many recent successes must be known before anything is
	// hedged. Default 100.
	Samples int
	// MinDelay is the least time after which a call is late. Default 1 ms.
	MinDelay time.Duration
	// Share bounds the hedges: at no moment have there been more than this
	// share of all calls so far. At most 0.5. Default 0.02.
	Share float64
}

// WithDefaults returns h with every zero field set to its default.
func (h Hedge) WithDefaults() Hedge {
	h.Quantile = cmp.Or(h.Quantile, DefaultHedgeQuantile)
	h.Samples = cmp.Or(h.Samples, DefaultHedgeSamples)
	h.MinDelay = cmp.Or(h.MinDelay, DefaultHedgeMinDelay)
	h.Share = cmp.Or(h.Share, DefaultHedgeShare)
	return h
}

// Validate reports, joined, everything that is wrong with h. The zero Hedge is
// valid.
func (h Hedge) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("retry: hedge "+format, args...))
	}
	if h.Quantile != 0 && !(h.Quantile >= 0.5 && h.Quantile < 1) {
		bad("quantile %v: want 0.5 to below 1", h.Quantile)
	}
	if h.Samples < 0 {
		bad("samples %d: must not be negative", h.Samples)
	}
	if h.MinDelay < 0 {
		bad("min_delay %v: must not be negative", h.MinDelay)
	}
	if !(h.Share >= 0 && h.Share <= 0.5) {
		bad("share %v: want above 0, at most 0.5", h.Share)
	}
	return errors.Join(errs...)
}

type hedgeJSON struct {
	On       bool              `json:"on,omitempty"`
	Quantile float64           `json:"quantile,omitempty"`
	Samples  int               `json:"samples,omitempty"`
	MinDelay duration.Duration `json:"min_delay,omitempty"`
	Share    float64           `json:"share,omitempty"`
}

// MarshalJSON writes h with durations as strings, leaving out what is zero.
func (h Hedge) MarshalJSON() ([]byte, error) {
	return json.Marshal(hedgeJSON{h.On, h.Quantile, h.Samples, duration.Duration(h.MinDelay), h.Share})
}

// UnmarshalJSON reads what the object names and leaves the rest of h as it was.
func (h *Hedge) UnmarshalJSON(b []byte) error {
	j := hedgeJSON{h.On, h.Quantile, h.Samples, duration.Duration(h.MinDelay), h.Share}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("retry: hedge: %w", err)
	}
	*h = Hedge{j.On, j.Quantile, j.Samples, time.Duration(j.MinDelay), j.Share}
	return nil
}
