package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxReplicas is how many replicas WriteText lists.
const maxReplicas = 50

// WriteText writes the figures, a line for each replica with its attempts over
// time, and the [Report.Timeline].
func (r *Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	r.writeHead(out)
	r.writeReplicas(out)
	fmt.Fprintln(out)
	first, last := r.data.secondsIn(r.window)
	r.writeRows(out, stepFor(last-first, maxRows), defaultWidth)
	return out.Flush()
}

// writeHead writes the totals.
func (r *Report) writeHead(out io.Writer) {
	name := cmp.Or(strings.Map(printable, r.Name), "run")
	when := r.Duration.String()
	if r.Start != 0 {
		when = fmt.Sprintf("%v to %v", r.Start, r.Start+r.Duration)
	}
	fmt.Fprintf(out, "%s: seed %d, %s: %d calls, %d ok (%s), %d failed%s\n",
		name, r.Seed, when, r.Calls, r.OK, percent(r.Success), r.Calls-r.OK, r.errorList())
	fmt.Fprintf(out, "latency p50 %s, p90 %s, p99 %s, p99.9 %s, p99.99 %s\n",
		short(r.P50), short(r.P90), short(r.P99), short(r.P999), short(r.P9999))
	fmt.Fprintf(out, "goodput %s, degraded %d, attempts per call %.3f, extra requests %s, late %d (%s of work)\n",
		percent(r.Goodput), r.Degraded, r.AttemptsPerCall, percent(r.ExtraRequests), r.Late, short(r.LateWork))
}

// errorList writes Errors, the most frequent first.
func (r *Report) errorList() string {
	if len(r.Errors) == 0 {
		return ""
	}
	classes := slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), cmp.Compare(a, b))
	})
	for i, class := range classes {
		classes[i] = fmt.Sprintf("%s %d", strings.Map(printable, class), r.Errors[class])
	}
	return " (" + strings.Join(classes, ", ") + ")"
}

func (r *Report) writeReplicas(out io.Writer) {
	if len(r.ByReplica) == 0 {
		return
	}
	nameWidth := len("replica")
	most := map[string]int{} // attempts in one step at one replica, by service
	step := max(1, (len(r.PerSecond)+maxRows-1)/maxRows)
	shown := r.ByReplica[:min(len(r.ByReplica), maxReplicas)]
	for _, p := range shown {
		nameWidth = max(nameWidth, len(p.label()))
		most[p.Service] = max(most[p.Service], slices.Max(append(p.steps(step), 1)))
	}
	fmt.Fprintf(out, "\n%-*s %8s %8s %8s  attempts over time\n", nameWidth, "replica", "attempts", "ok", "late")
	for _, p := range shown {
		row := fmt.Sprintf("%-*s %8s %8s %8s  %s", nameWidth, p.label(), count(p.Attempts), count(p.OK), count(p.Late),
			spark(p.steps(step), most[p.Service]))
		fmt.Fprintln(out, strings.TrimRight(row, " "))
	}
	if more := len(r.ByReplica) - len(shown); more > 0 {
		fmt.Fprintf(out, "+%d more\n", more)
	}
}

// label names p as "pricing/pricing-2".
func (p Replica) label() string {
	return strings.Map(printable, p.Service+"/"+cmp.Or(p.Replica, "-"))
}

// steps returns the attempts in steps of so many seconds.
func (p Replica) steps(step int) []int {
	var sums []int
	for part := range slices.Chunk(p.PerSecond, step) {
		sum := 0
		for _, n := range part {
			sum += n
		}
		sums = append(sums, sum)
	}
	return sums
}

// spark draws one character for each count, the darker the nearer to most.
func spark(counts []int, most int) string {
	const levels = " .:-=+*#%@"
	b := make([]byte, len(counts))
	for i, n := range counts {
		b[i] = levels[(n*(len(levels)-1)+most-1)/most]
	}
	return string(b)
}

// count writes n, and a dash for 0 so that what is not 0 stands out.
func count(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// percent writes a share to a hundredth of a percent, and never rounds it up to
// 100 or down to 0.
func percent(share float64) string {
	p := share * 100
	switch {
	case p > 99.99 && p < 100:
		return ">99.99 %"
	case p > 0 && p < 0.01:
		return "<0.01 %"
	}
	return strconv.FormatFloat(p, 'f', 2, 64) + " %"
}

// short writes d with 3 digits in milliseconds or seconds, and a dash for 0.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Second:
		return threeDigits(float64(d)/float64(time.Millisecond)) + "ms"
	}
	return threeDigits(d.Seconds()) + "s"
}

func threeDigits(x float64) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64) // what was just written can be read
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
