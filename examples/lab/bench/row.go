package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Row is what one policy came to under one load. What does not apply is nil,
// and left out of JSON.
type Row struct {
	// Policy in kebab-case.
	Policy string `json:"policy"`
	// Variant of the set-up, if there are several.
	Variant string `json:"variant,omitempty"`
	// Load, if that varies: a part of what the servers are allotted, or a
	// number of clients.
	Load float64 `json:"load,omitzero"`
	// Success is the part of the calls that went well.
	Success *float64 `json:"success,omitempty"`
	// P50 to P9999 are quantiles of the latency in milliseconds.
	P50   *float64 `json:"p50_ms,omitempty"`
	P90   *float64 `json:"p90_ms,omitempty"`
	P99   *float64 `json:"p99_ms,omitempty"`
	P999  *float64 `json:"p999_ms,omitempty"`
	P9999 *float64 `json:"p9999_ms,omitempty"`
	// AttemptsPerCall is how many requests a call made on average.
	AttemptsPerCall *float64 `json:"attempts_per_call,omitempty"`
	// ExtraRequests are those beyond the first of a call, per call.
	ExtraRequests *float64 `json:"extra_requests,omitempty"`
	// RecoveryS is how many seconds after the disturbance all was well again;
	// -1 is never.
	RecoveryS *float64 `json:"recovery_s,omitempty"`
	// Goodput is the part of the calls that went well in time.
	Goodput *float64 `json:"goodput,omitempty"`
	// Extra figures are of one experiment alone. In JSON they are fields like
	// the others.
	Extra []Figure `json:"-"`
	// Note is a remark.
	Note string `json:"note,omitempty"`
}

// Figure is a number with a name.
type Figure struct {
	// Name in snake_case, with its unit if it has one: "to_slow", "wait_ms".
	Name  string
	Value float64
	// Share says that Value is a part of one, which text shows in percent.
	Share bool
}

// FromReport returns a row with everything that r knows. RecoveryS is left to
// the experiment.
func FromReport(policy string, r *report.Report) Row {
	return Row{
		Policy: policy, Success: new(round(r.Success)), Goodput: new(round(r.Goodput)),
		P50: Ms(r.P50), P90: Ms(r.P90), P99: Ms(r.P99), P999: Ms(r.P999), P9999: Ms(r.P9999),
		AttemptsPerCall: new(round(r.AttemptsPerCall)), ExtraRequests: new(round(r.ExtraRequests)),
	}
}

// Recovery returns the recovery time of r: how long after the end of a
// disturbance it took until, for good, the part share of each second's calls
// went well. It is -1 if that never came.
func Recovery(r *report.Report, end time.Duration, share float64) *float64 {
	after, ok := r.RecoveredAfter(end, share)
	if !ok {
		return new(-1.0)
	}
	return new(after.Seconds())
}

// Ms returns d in milliseconds, to a microsecond.
func Ms(d time.Duration) *float64 {
	return new(float64(d.Round(time.Microsecond)) / float64(time.Millisecond))
}

// Add appends an extra figure.
func (r *Row) Add(name string, value float64) {
	r.Extra = append(r.Extra, Figure{Name: name, Value: round(value)})
}

// AddShare appends an extra figure that is a part of one.
func (r *Row) AddShare(name string, value float64) {
	r.Extra = append(r.Extra, Figure{Name: name, Value: round(value), Share: true})
}

// round rounds to a millionth: more digits mean nothing and are hard to read.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// MarshalJSON writes an object with one field for each figure that applies.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row // without this method
	b, err := json.Marshal(plain(r))
	if err != nil {
		return nil, fmt.Errorf("bench: row of %s: %w", r.Policy, err)
	}
	out := bytes.NewBuffer(b[:len(b)-1])
	for _, f := range r.Extra {
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, fmt.Errorf("bench: %s of %s: %w", f.Name, r.Policy, err)
		}
		fmt.Fprintf(out, ",%q:%s", f.Name, value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// figures returns what applies, in the order of the fields.
func (r *Row) figures() []Figure {
	var list []Figure
	add := func(name string, share bool, v *float64) {
		if v != nil {
			list = append(list, Figure{name, *v, share})
		}
	}
	add("success", true, r.Success)
	add("p50_ms", false, r.P50)
	add("p90_ms", false, r.P90)
	add("p99_ms", false, r.P99)
	add("p999_ms", false, r.P999)
	add("p9999_ms", false, r.P9999)
	add("attempts_per_call", false, r.AttemptsPerCall)
	add("extra_requests", true, r.ExtraRequests)
	add(recovery, false, r.RecoveryS)
	add("goodput", true, r.Goodput)
	return append(list, r.Extra...)
}

// recovery names the figure that is -1 for never.
const recovery = "recovery_s"

// figure returns one by name.
func (r *Row) figure(name string) (Figure, bool) {
	for _, f := range r.figures() {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}

// label is what a row is called in a chart with one load.
func (r *Row) label() string {
	if r.Variant == "" {
		return r.Policy
	}
	return r.Policy + ", " + r.Variant
}

// loadText returns a part with two digits, and a number as it is.
func loadText(load float64) string {
	if load >= 10 {
		return fmt.Sprintf("%.0f", load)
	}
	return fmt.Sprintf("%.2f", load)
}

// String returns the figure without its name.
func (f Figure) String() string {
	switch {
	case f.Name == recovery && f.Value < 0:
		return "never"
	case f.Share:
		return fmt.Sprintf("%.2f %%", f.Value*100)
	case f.Value == math.Trunc(f.Value) && math.Abs(f.Value) < 1e9:
		return fmt.Sprintf("%.0f", f.Value)
	case math.Abs(f.Value) >= 1000:
		return fmt.Sprintf("%.0f", f.Value)
	case math.Abs(f.Value) >= 100:
		return fmt.Sprintf("%.1f", f.Value)
	}
	return fmt.Sprintf("%.3g", f.Value)
}
