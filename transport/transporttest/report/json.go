package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// reportJSON is the form of Report in JSON.
type reportJSON struct {
	Name            string            `json:"name,omitempty"`
	Seed            uint64            `json:"seed,string"`
	Start           duration.Duration `json:"start"`
	Duration        duration.Duration `json:"duration"`
	Calls           int               `json:"calls"`
	OK              int               `json:"ok"`
	Degraded        int               `json:"degraded"`
	Success         float64           `json:"success"`
	Goodput         float64           `json:"goodput"`
	P50             duration.Duration `json:"p50"`
	P90             duration.Duration `json:"p90"`
	P99             duration.Duration `json:"p99"`
	P999            duration.Duration `json:"p999"`
	P9999           duration.Duration `json:"p9999"`
	Clamped         int               `json:"clamped"`
	AttemptsPerCall float64           `json:"attempts_per_call"`
	ExtraRequests   float64           `json:"extra_requests"`
	Errors          map[string]int    `json:"errors"`
	Late            int               `json:"late"`
	LateWork        duration.Duration `json:"late_work"`
	ByReplica       []replicaJSON     `json:"by_replica"`
	PerSecond       []secondJSON      `json:"per_second"`
	Events          []eventJSON       `json:"events"`
}

type replicaJSON struct {
	Service   string `json:"service"`
	Replica   string `json:"replica"`
	Attempts  int    `json:"attempts"`
	OK        int    `json:"ok"`
	Late      int    `json:"late"`
	PerSecond []int  `json:"per_second"`
}

type secondJSON struct {
	At       duration.Duration `json:"at"`
	Offered  int               `json:"offered"`
	OK       int               `json:"ok"`
	Failed   int               `json:"failed"`
	Attempts int               `json:"attempts"`
	P50      duration.Duration `json:"p50"`
	P99      duration.Duration `json:"p99"`
}

type eventJSON struct {
	At      duration.Duration `json:"at"`
	Kind    string            `json:"kind"`
	Subject string            `json:"subject,omitempty"`
	Detail  string            `json:"detail,omitempty"`
}

// MarshalJSON writes r with durations as strings. The seed is a string too, as
// not every reader of JSON knows integers of 64 bits.
func (r *Report) MarshalJSON() ([]byte, error) {
	d := func(d time.Duration) duration.Duration { return duration.Duration(d) }
	j := reportJSON{
		Name: r.Name, Seed: r.Seed, Start: d(r.Start), Duration: d(r.Duration),
		Calls: r.Calls, OK: r.OK, Degraded: r.Degraded, Success: r.Success, Goodput: r.Goodput,
		P50: d(r.P50), P90: d(r.P90), P99: d(r.P99), P999: d(r.P999), P9999: d(r.P9999), Clamped: r.Clamped,
		AttemptsPerCall: r.AttemptsPerCall, ExtraRequests: r.ExtraRequests,
		Errors: r.Errors, Late: r.Late, LateWork: d(r.LateWork),
		ByReplica: make([]replicaJSON, len(r.ByReplica)),
		PerSecond: make([]secondJSON, len(r.PerSecond)),
		Events:    make([]eventJSON, len(r.Events)),
	}
	for i, v := range r.ByReplica {
		j.ByReplica[i] = replicaJSON(v)
	}
	for i, s := range r.PerSecond {
		j.PerSecond[i] = secondJSON{d(s.At), s.Offered, s.OK, s.Failed, s.Attempts, d(s.P50), d(s.P99)}
	}
	for i, e := range r.Events {
		j.Events[i] = eventJSON{d(e.At), e.Kind, e.Subject, e.Detail}
	}
	return json.Marshal(j)
}

// WriteJSON writes r as one JSON object, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
