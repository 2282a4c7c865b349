package dist

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// distJSON is the form of Dist in JSON.
type distJSON struct {
	Kind      string            `json:"kind,omitempty"`
	Mean      duration.Duration `json:"mean,omitempty"`
	SD        duration.Duration `json:"sd,omitempty"`
	Min       duration.Duration `json:"min,omitempty"`
	Max       duration.Duration `json:"max,omitempty"`
	Alpha     float64           `json:"alpha,omitempty"`
	Quantiles []Quantile        `json:"quantiles,omitempty"`
	File      string            `json:"file,omitempty"`
}

// MarshalJSON writes a constant as a string such as "20ms", and the fields that
// are set of everything else.
func (d Dist) MarshalJSON() ([]byte, error) {
	if d.kind() == KindConstant && !d.hasMore() {
		return json.Marshal(duration.Duration(d.Mean))
	}
	return json.Marshal(d.json())
}

// hasMore reports whether anything but Kind and Mean is set.
func (d Dist) hasMore() bool {
	for _, s := range d.settings() {
		if s.set && s.name != "mean" {
			return true
		}
	}
	return false
}

func (d Dist) json() distJSON {
	return distJSON{
		d.Kind, duration.Duration(d.Mean), duration.Duration(d.SD), duration.Duration(d.Min), duration.Duration(d.Max),
		d.Alpha, d.Quantiles, d.File,
	}
}

// UnmarshalJSON reads a string as a constant, which replaces d. Of an object it
// reads what is named and leaves the rest of d as it was, so that one document
// can be laid over another. After an error d is unchanged.
func (d *Dist) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte{'"'}) {
		var mean duration.Duration
		if err := json.Unmarshal(b, &mean); err != nil {
			return fmt.Errorf("dist: %w", err)
		}
		*d = Constant(time.Duration(mean))
		return nil
	}
	j := d.json()
	j.Quantiles = nil
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	if j.Quantiles == nil {
		j.Quantiles = d.Quantiles
	}
	*d = Dist{
		j.Kind, time.Duration(j.Mean), time.Duration(j.SD), time.Duration(j.Min), time.Duration(j.Max),
		j.Alpha, j.Quantiles, j.File,
	}
	return nil
}

// quantileJSON is the form of Quantile in JSON. Both are required.
type quantileJSON struct {
	Q *float64           `json:"q"`
	D *duration.Duration `json:"d"`
}

// MarshalJSON writes q as an object such as {"q":0.99,"d":"90ms"}.
func (q Quantile) MarshalJSON() ([]byte, error) {
	d := duration.Duration(q.D)
	return json.Marshal(quantileJSON{&q.Q, &d})
}

// UnmarshalJSON reads an object that has both a q and a d.
func (q *Quantile) UnmarshalJSON(b []byte) error {
	var j quantileJSON
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("quantile: %w", err)
	}
	if j.Q == nil || j.D == nil {
		return fmt.Errorf("quantile %.60s: want an object such as {\"q\": 0.99, \"d\": \"90ms\"}", b)
	}
	*q = Quantile{*j.Q, time.Duration(*j.D)}
	return nil
}
