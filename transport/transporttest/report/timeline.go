package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// The shape of a timeline.
const (
	maxRows       = 40
	defaultWidth  = 120
	leastWidth    = 80
	barWidth      = 24
	maxEventLines = 3 // of one row
)

// Timeline writes what happened when, for people: the totals and the seed, and
// then a row for each second, or for as many seconds as it takes for about 40
// rows. A row has the calls that started in it, how many of them were OK and
// how many failed, their 99 % quantile, a bar with an x for failed calls, and
// the events. A line has up to width columns (0 means 120, and at least 80 are
// taken), unless a single event needs more.
func (r *Report) Timeline(w io.Writer, width int) error {
	if width <= 0 {
		width = defaultWidth
	}
	out := bufio.NewWriter(w)
	r.writeHead(out)
	first, last := r.data.secondsIn(r.window)
	step := stepFor(last-first, maxRows)
	r.writeRows(out, step, max(width, leastWidth))
	return out.Flush()
}

// stepFor returns the shortest round step in which n seconds make up to rows
// rows.
func stepFor(n, rows int) time.Duration {
	for _, s := range []int{1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800} {
		if (n+s-1)/s <= rows {
			return time.Duration(s) * time.Second
		}
	}
	const hour = 3600
	return time.Duration((n+rows*hour-1)/(rows*hour)) * time.Hour
}

func (r *Report) writeRows(out io.Writer, step time.Duration, width int) {
	rows := r.rows(step)
	events := eventsByRow(r.Events, rows, step)
	most := 1
	for _, s := range rows {
		most = max(most, s.Offered)
	}
	head := fmt.Sprintf("%8s %8s %8s %8s %8s  %-*s", "time", "offered", "ok", "failed", "p99", barWidth, "# ok, x failed")
	fmt.Fprintln(out, head+"  events")
	for i, s := range rows {
		lines := wrap(events[i], width-len(head)-2)
		row := fmt.Sprintf("%8s %8s %8s %8s %8s  %-*s", clock(s.At), count(s.Offered), count(s.OK), count(s.Failed), short(s.P99),
			barWidth, bar(s, most))
		fmt.Fprintln(out, strings.TrimRight(row+"  "+lines[0], " "))
		for _, l := range lines[1:] {
			fmt.Fprintf(out, "%*s  %s\n", len(head), "", l)
		}
	}
}

// clock writes t without the units that are 0: "20s", "1m", "1h5m".
func clock(t time.Duration) string {
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// bar draws the calls of one row where most is those of the longest bar.
func bar(s Second, most int) string {
	cells := func(n int) int { return (n*barWidth + most - 1) / most } // rounded up, so that one call shows
	failed := cells(s.Failed)
	return strings.Repeat("#", max(0, cells(s.Offered)-failed)) + strings.Repeat("x", failed)
}

// wrap joins events into lines of up to width columns where it can: at least
// one line and at most maxEventLines, the last of which says how many events
// are not shown.
func wrap(events []string, width int) []string {
	lines := []string{""}
	for i, e := range events {
		e = strings.Map(printable, e)
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = e
		case len(*last)+len("; ")+len(e) <= width:
			*last += "; " + e
		case len(lines) < maxEventLines:
			lines = append(lines, e)
		default:
			*last += fmt.Sprintf("; +%d more", len(events)-i)
			return lines
		}
	}
	return lines
}

// printable replaces what would break a line.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
