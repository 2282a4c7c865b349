// Package duration reads and writes time.Duration in JSON the way people write
// them: "250ms", "5s", "1h30m".
package duration

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration whose JSON form is a string in the syntax of
// [time.ParseDuration]. A bare number is refused, because nobody can tell its
// unit. The zero value is written as "0s".
type Duration time.Duration

// MarshalJSON writes d as a quoted string such as "250ms".
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON reads a quoted duration. The error says what was given and
// shows the form that is wanted.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %.40s: want a string such as \"250ms\" or \"5s\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %.40q: want a string such as \"250ms\" or \"5s\"", s)
	}
	*d = Duration(v)
	return nil
}
