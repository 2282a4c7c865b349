package limit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Settings of an [Adaptive] limiter. A zero field means its default. In JSON
// durations are strings, and an unknown name is an error.
type Settings struct {
	// Initial is the limit to start with. Default 20, within Min and Max.
	Initial int
	// Min and Max bound the limit. Default 1 and 1000. Equal values make a
	// fixed limit.
	Min, Max int
	// Queue is how many requests may wait for a place. Default 100; negative
	// means none.
	Queue int
	// QueueWait is the longest that a request waits. Default 500 ms.
	QueueWait time.Duration
	// Shadow lets every request through at once. The limit is found as always,
	// and what would be refused because the queue is full is counted: see
	// [Ticket.Shadowed]. Nobody waits, so nobody waits for too long.
	Shadow bool
}

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	if s.Min == 0 {
		s.Min = 1
	}
	if s.Max == 0 {
		s.Max = max(1000, s.Min)
	}
	if s.Initial == 0 {
		s.Initial = min(max(20, s.Min), s.Max)
	}
	if s.Queue == 0 {
		s.Queue = 100
	}
	if s.QueueWait == 0 {
		s.QueueWait = 500 * time.Millisecond
	}
	return s
}

// Validate reports, joined, everything that is wrong with s. The zero Settings
// are valid.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("limit: "+format, args...))
	}
	if s.Min < 0 {
		bad("min %d: must not be negative", s.Min)
	}
	d := s.WithDefaults()
	if d.Max < d.Min {
		bad("max %d: must not be below min %d", d.Max, d.Min)
	}
	if d.Initial < d.Min || d.Initial > d.Max {
		bad("initial %d: must be from min %d to max %d", d.Initial, d.Min, d.Max)
	}
	if s.QueueWait < 0 {
		bad("queue_wait %v: must not be negative", s.QueueWait)
	}
	return errors.Join(errs...)
}

type settingsJSON struct {
	Initial   int               `json:"initial,omitzero"`
	Min       int               `json:"min,omitzero"`
	Max       int               `json:"max,omitzero"`
	Queue     int               `json:"queue,omitzero"`
	QueueWait duration.Duration `json:"queue_wait,omitzero"`
	Shadow    bool              `json:"shadow,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (s Settings) MarshalJSON() ([]byte, error) {
	return json.Marshal(settingsJSON{s.Initial, s.Min, s.Max, s.Queue, duration.Duration(s.QueueWait), s.Shadow})
}

// UnmarshalJSON reads what the object names and leaves the rest of s as it was.
func (s *Settings) UnmarshalJSON(b []byte) error {
	j := settingsJSON{s.Initial, s.Min, s.Max, s.Queue, duration.Duration(s.QueueWait), s.Shadow}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("limit: settings: %w", err)
	}
	*s = Settings{j.Initial, j.Min, j.Max, j.Queue, time.Duration(j.QueueWait), j.Shadow}
	return nil
}
