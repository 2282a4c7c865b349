package load

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a load has shown.
type Report struct {
	Target  string  `json:"target"`
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`

	// Total covers all calls. Each may be repeated safely: GET, PUT, and POST
	// with an Idempotency-Key.
	Total   Share   `json:"total"`
	Latency Latency `json:"latency"`
	// Missed is the number of calls that were not started because too many
	// were under way.
	Missed int `json:"missed"`
	// Degraded counts answers that had to do without something, by what.
	Degraded map[string]int `json:"degraded"`
	Calls    []Call         `json:"calls"`
	Errors   []Kind         `json:"errors"`
	Refusals []Kind         `json:"refusals"`
	// Orders is the number of different orders placed.
	Orders     int      `json:"orders"`
	Violations []string `json:"violations"`
}

// Call sums up one kind of call.
type Call struct {
	Name     string `json:"name"`
	Share    Share  `json:"share"`
	Degraded int    `json:"degraded"`
	Latency
}

func newReport(cfg Config, s *shop, took time.Duration) *Report {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	samples := s.recorder.samples
	r := &Report{
		Target: s.target, Rate: cfg.Rate, Seconds: took.Seconds(), Seed: cfg.Seed,
		Total: shareOf(samples), Latency: latencyOf(samples), Missed: s.recorder.missed,
		Degraded: map[string]int{}, Errors: kinds(samples, failed), Refusals: kinds(samples, refused),
	}
	byCall := map[string][]sample{}
	for _, one := range samples {
		byCall[one.call] = append(byCall[one.call], one)
		if one.degraded != "" {
			r.Degraded[one.degraded]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byCall)) {
		r.Calls = append(r.Calls, newCall(name, byCall[name]))
	}
	r.Orders, r.Violations = s.ledger.totals()
	return r
}

func newCall(name string, samples []sample) Call {
	c := Call{Name: name, Share: shareOf(samples), Latency: latencyOf(samples)}
	for _, s := range samples {
		if s.degraded != "" {
			c.Degraded++
		}
	}
	return c
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d calls to %s in %.1f s (%g a second asked for, seed %d)\n\n", r.Total.Calls, r.Target, r.Seconds, r.Rate, r.Seed)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "success\t%s\n", r.Total)
	fmt.Fprintf(t, "latency\t%s, from the intended start\n", r.Latency)
	fmt.Fprintf(t, "degraded\t%s\n", r.degraded())
	fmt.Fprintf(t, "not started\t%d\n", r.Missed)
	fmt.Fprintf(t, "orders\t%d\n", r.Orders)
	t.Flush()
	r.writeCalls(&b)
	writeKinds(&b, "errors", r.Errors)
	writeKinds(&b, "refused, as they should be", r.Refusals)
	r.writeViolations(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeCalls(b *strings.Builder) {
	fmt.Fprintln(b)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%-15s\tcalls\tsuccess %%\tp50 ms\tp90\tp99\tp99.9\tmax\tdegraded\t\n", "call")
	for _, c := range r.Calls {
		fmt.Fprintf(t, "%-15s\t%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t\n",
			c.Name, c.Share.Calls, percent(c.Share), c.P50, c.P90, c.P99, c.P999, c.Max, c.Degraded)
	}
	t.Flush()
}

func writeKinds(b *strings.Builder, title string, list []Kind) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, k := range list {
		fmt.Fprintf(b, "  %6d  %s (from %.1f s to %.1f s)\n", k.Count, k.Kind, k.First, k.Last)
	}
}

func (r *Report) writeViolations(b *strings.Builder) {
	const most = 20
	if len(r.Violations) == 0 {
		fmt.Fprint(b, "\nviolations: none\n")
		return
	}
	fmt.Fprintf(b, "\nVIOLATIONS: %d\n", len(r.Violations))
	for _, v := range r.Violations[:min(most, len(r.Violations))] {
		fmt.Fprintf(b, "  %s\n", v)
	}
	if more := len(r.Violations) - most; more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
}

func (r *Report) degraded() string {
	if len(r.Degraded) == 0 {
		return "0"
	}
	sum := 0
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(r.Degraded)) {
		sum += r.Degraded[what]
		parts = append(parts, fmt.Sprintf("%d without %s", r.Degraded[what], what))
	}
	return fmt.Sprintf("%d answers: %s", sum, strings.Join(parts, ", "))
}

// String reads 99.950 % (1999 of 2000).
func (s Share) String() string {
	return fmt.Sprintf("%s %% (%d of %d)", percent(s), s.Good, s.Calls)
}

// percent has three decimals and says 100 only if nothing failed.
func percent(s Share) string {
	if s.Good < s.Calls {
		return fmt.Sprintf("%.3f", min(s.Percent, 99.999))
	}
	return "100"
}

// String reads p50 1.2 ms, p90 ... .
func (l Latency) String() string {
	return fmt.Sprintf("p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// String is a progress line.
func (t Tick) String() string {
	line := fmt.Sprintf("%4.0fs  %5d calls  %d failed  %d degraded  p50 %.1f ms  p99 %.1f ms  max %.1f ms",
		t.At.Seconds(), t.Calls, t.Failed, t.Degraded, t.Latency.P50, t.Latency.P99, t.Latency.Max)
	if t.Missed > 0 {
		line += fmt.Sprintf("  %d not started so far", t.Missed)
	}
	return line
}
