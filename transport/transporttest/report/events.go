package report

import (
	"strings"
	"time"
)

// String describes e as "fault pricing-1 (latency 200ms)".
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Kind)
	if e.Subject != "" {
		b.WriteString(" " + e.Subject)
	}
	if e.Detail != "" {
		b.WriteString(" (" + e.Detail + ")")
	}
	return b.String()
}

// eventsByRow returns for each row what happened in it, with its time. What
// happened before the first row or after the last is in those.
func eventsByRow(events []Event, rows []Second, step time.Duration) [][]string {
	by := make([][]string, len(rows))
	if len(rows) == 0 {
		return by
	}
	for _, e := range events {
		i := max(0, min(int((e.At-rows[0].At)/step), len(rows)-1))
		by[i] = append(by[i], e.At.Round(time.Millisecond).String()+" "+e.String())
	}
	return by
}

// period is a time with a fault.
type period struct {
	from, to time.Duration
	label    string
}

// periods pairs each fault with what heals it, and each crash with its restart:
// the next event that ends such a thing for the same Subject, and the same
// Detail if a fault. What is not ended lasts until end.
func periods(events []Event, end time.Duration) []period {
	type key struct{ kind, subject, detail string }
	open := map[key][]int{}
	var all []period
	for _, e := range events {
		switch e.Kind {
		case Fault, Crash:
			k := key{e.Kind, e.Subject, faultDetail(e)}
			open[k] = append(open[k], len(all))
			all = append(all, period{e.At, end, strings.TrimPrefix(e.String(), Fault+" ")})
		case Heal, Restart:
			k := key{map[string]string{Heal: Fault, Restart: Crash}[e.Kind], e.Subject, faultDetail(e)}
			if o := open[k]; len(o) > 0 {
				all[o[0]].to = e.At
				open[k] = o[1:]
			}
		}
	}
	return all
}

// faultDetail is what tells faults of one subject apart.
func faultDetail(e Event) string {
	if e.Kind == Fault || e.Kind == Heal {
		return e.Detail
	}
	return ""
}
