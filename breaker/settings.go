package breaker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Settings is the plain data of a breaker. A zero field means its default. In
// JSON the names are those of the tags, durations are strings such as "1.5s",
// and unknown names are errors.
type Settings struct {
	// Window is how long an outcome counts. It is rounded up to a multiple of
	// Bucket. Default 10 s.
	Window time.Duration
	// Bucket is the step in which the window moves, at most half and at least
	// a thousandth of Window. Default a tenth of Window.
	Bucket time.Duration
	// FailureRatio opens the circuit when at least this share of the outcomes
	// in the window are failures, from above 0 to 1. It is looked at when a
	// failure comes in. Default 0.5.
	FailureRatio float64
	// MinCalls is how many outcomes the window must hold for FailureRatio to
	// apply. Default 20.
	MinCalls int
	// Consecutive opens the circuit after that many failures in a row, however
	// long they take. Negative: never. Default 10.
	Consecutive int
	// SlowCall makes a success that took at least this long a failure. Default
	// 0: slow calls are successes.
	SlowCall time.Duration
	// HangAfter counts a call that has not ended after this long (up to an
	// eighth more) as a failure at once; its later result no longer counts.
	// It is for guarded code without a time limit of its own and costs a lock
	// for each call. Default 0: calls count when they end.
	HangAfter time.Duration
	// OpenFor is the first open period, at least 1 ms. Each following one is
	// twice as long, until the circuit has been closed for Window. Default 1 s.
	OpenFor time.Duration
	// MaxOpenFor bounds the growth, before jitter. Default 10 s, or OpenFor if
	// that is longer.
	MaxOpenFor time.Duration
	// Jitter spreads each open period evenly over plus and minus this share of
	// it, below 1. Negative: none. Default 0.2, which spreads the first probes
	// of circuits that opened together over four tenths of the period, a
	// quarter of them in each tenth; no more than an eighth takes 0.4.
	Jitter float64
	// Probes is how many calls must succeed, one after the other, to close a
	// half-open circuit. One failure opens it again. Default 3.
	Probes int
	// Lease is how long a probe may take. Then it counts as failed and the
	// circuit opens for its period, though for no longer than another Lease.
	// Default 2 s.
	Lease time.Duration
	// Ramp is the time after closing in which the share of calls let through
	// grows from 10 % to 100 %. It goes four times as fast while calls come
	// back and succeed. Negative: none, all at once. Default 5 s.
	Ramp time.Duration
	// Shadow makes [ModeShadow] the mode that the breaker has unless an
	// operator sets another: it counts and changes state but refuses nothing.
	Shadow bool
}

// Bounds that keep arithmetic and memory sane.
const (
	maxDuration = 24 * time.Hour
	minDuration = time.Millisecond
	maxBuckets  = 1000
	maxProbes   = 1000
)

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	s.Window = cmp.Or(s.Window, 10*time.Second)
	s.Bucket = cmp.Or(s.Bucket, s.Window/10)
	s.FailureRatio = cmp.Or(s.FailureRatio, 0.5)
	s.MinCalls = cmp.Or(s.MinCalls, 20)
	s.Consecutive = cmp.Or(s.Consecutive, 10)
	s.OpenFor = cmp.Or(s.OpenFor, time.Second)
	s.MaxOpenFor = cmp.Or(s.MaxOpenFor, max(10*time.Second, s.OpenFor))
	s.Jitter = cmp.Or(s.Jitter, 0.2)
	s.Probes = cmp.Or(s.Probes, 3)
	s.Lease = cmp.Or(s.Lease, 2*time.Second)
	s.Ramp = cmp.Or(s.Ramp, 5*time.Second)
	return s
}

// inForce returns s with every zero field set to its default and then every
// negative one, which means "none", to zero.
func (s Settings) inForce() Settings {
	s = s.WithDefaults()
	s.Consecutive, s.Jitter, s.Ramp = max(s.Consecutive, 0), max(s.Jitter, 0), max(s.Ramp, 0)
	return s
}

// Validate reports, joined, everything that is wrong with s.
func (s Settings) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("breaker: "+format, args...))
		}
	}
	for _, d := range []struct {
		name       string
		value, min time.Duration
	}{
		{"window", s.Window, minDuration},
		{"bucket", s.Bucket, 0},
		{"slow_call", s.SlowCall, 0},
		{"hang_after", s.HangAfter, minDuration},
		{"open_for", s.OpenFor, minDuration},
		{"max_open_for", s.MaxOpenFor, minDuration},
		{"lease", s.Lease, minDuration},
	} {
		check(d.value == 0 || (d.value >= d.min && d.value <= maxDuration),
			"%s is %v, want %v to %v", d.name, d.value, d.min, maxDuration)
	}
	check(s.Ramp <= maxDuration, "ramp is %v, want at most %v", s.Ramp, maxDuration)
	check(s.FailureRatio >= 0 && s.FailureRatio <= 1, "failure_ratio is %v, want above 0 to 1", s.FailureRatio)
	check(s.MinCalls >= 0, "min_calls is %d, want at least 1", s.MinCalls)
	check(s.Jitter < 1, "jitter is %v, want below 1", s.Jitter)
	check(s.Probes >= 0 && s.Probes <= maxProbes, "probes is %d, want 1 to %d", s.Probes, maxProbes)

	d := s.inForce()
	check(d.Bucket <= 0 || d.Window/d.Bucket >= 2, "bucket is %v, want at most half of window, %v", d.Bucket, d.Window)
	check(d.Bucket <= 0 || d.Window/d.Bucket <= maxBuckets,
		"bucket is %v, want at least a thousandth of window, %v", d.Bucket, d.Window)
	check(d.MaxOpenFor >= d.OpenFor, "max_open_for is %v, want at least open_for, %v", d.MaxOpenFor, d.OpenFor)
	return errors.Join(errs...)
}

// wireSettings is the JSON form of Settings.
type wireSettings struct {
	Window       duration.Duration `json:"window,omitzero"`
	Bucket       duration.Duration `json:"bucket,omitzero"`
	FailureRatio float64           `json:"failure_ratio,omitzero"`
	MinCalls     int               `json:"min_calls,omitzero"`
	Consecutive  int               `json:"consecutive,omitzero"`
	SlowCall     duration.Duration `json:"slow_call,omitzero"`
	HangAfter    duration.Duration `json:"hang_after,omitzero"`
	OpenFor      duration.Duration `json:"open_for,omitzero"`
	MaxOpenFor   duration.Duration `json:"max_open_for,omitzero"`
	Jitter       float64           `json:"jitter,omitzero"`
	Probes       int               `json:"probes,omitzero"`
	Lease        duration.Duration `json:"lease,omitzero"`
	Ramp         duration.Duration `json:"ramp,omitzero"`
	Shadow       bool              `json:"shadow,omitzero"`
}

func (s Settings) wire() wireSettings {
	return wireSettings{
		Window:       duration.Duration(s.Window),
		Bucket:       duration.Duration(s.Bucket),
		FailureRatio: s.FailureRatio,
		MinCalls:     s.MinCalls,
		Consecutive:  s.Consecutive,
		SlowCall:     duration.Duration(s.SlowCall),
		HangAfter:    duration.Duration(s.HangAfter),
		OpenFor:      duration.Duration(s.OpenFor),
		MaxOpenFor:   duration.Duration(s.MaxOpenFor),
		Jitter:       s.Jitter,
		Probes:       s.Probes,
		Lease:        duration.Duration(s.Lease),
		Ramp:         duration.Duration(s.Ramp),
		Shadow:       s.Shadow,
	}
}

func (w wireSettings) settings() Settings {
	return Settings{
		Window:       time.Duration(w.Window),
		Bucket:       time.Duration(w.Bucket),
		FailureRatio: w.FailureRatio,
		MinCalls:     w.MinCalls,
		Consecutive:  w.Consecutive,
		SlowCall:     time.Duration(w.SlowCall),
		HangAfter:    time.Duration(w.HangAfter),
		OpenFor:      time.Duration(w.OpenFor),
		MaxOpenFor:   time.Duration(w.MaxOpenFor),
		Jitter:       w.Jitter,
		Probes:       w.Probes,
		Lease:        time.Duration(w.Lease),
		Ramp:         time.Duration(w.Ramp),
		Shadow:       w.Shadow,
	}
}

// MarshalJSON writes the fields that are not zero.
func (s Settings) MarshalJSON() ([]byte, error) { return json.Marshal(s.wire()) }

// UnmarshalJSON sets the fields that data names and leaves the others alone. It
// does not validate.
func (s *Settings) UnmarshalJSON(data []byte) error {
	w := s.wire()
	if err := strictjson.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("breaker: settings: %w", err)
	}
	*s = w.settings()
	return nil
}
