package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// The chart in pixels: two panels, one above the other, over one axis of time.
const (
	chartWidth, chartHeight = 1000, 580
	plotLeft, plotRight     = 64.0, 968.0
	callsTop, callsBottom   = 128.0, 328.0
	lane                    = 348.0 // of the events
	timesTop, timesBottom   = 368.0, 528.0
	labelHeight, labelChar  = 13.0, 6.0 // of one line, and of one character
	maxColumns              = 300
	maxLabels               = 3 // of faults that overlap
)

const chartStyle = `text{font:12px system-ui,sans-serif;fill:#24292f}
.bg{fill:#fff}.name{font-size:16px;font-weight:600}.soft{fill:#57606a}
.mid{text-anchor:middle}.right{text-anchor:end}
.grid{stroke:#d8dee4}.axis{stroke:#57606a}
.ok{fill:#4a90c4}.failed{fill:#d1343a}
.p50,.p99{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.p50{stroke:#1a7f64}.p99{stroke:#b35309}
.fault{fill:#d4a017;fill-opacity:.2}.faultlabel{font-size:11px;fill:#7a5200}
.event{fill:#8250df}.eventline{stroke:#8250df;stroke-dasharray:2 4;stroke-opacity:.5}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.bg{fill:#0d1117}.soft{fill:#9da7b3}
.grid{stroke:#262c34}.axis{stroke:#9da7b3}
.ok{fill:#4f9bd3}.failed{fill:#ff6b62}.p50{stroke:#3fc29a}.p99{stroke:#f0a35e}
.fault{fill:#e3b341;fill-opacity:.2}.faultlabel{fill:#e8c678}
.event{fill:#b392f0}.eventline{stroke:#b392f0}
}
`

// WriteSVG writes a chart that stands on its own: the calls of each second by
// how they ended, and the latency on a logarithmic scale; behind both, the
// faults while they lasted; between them, the other events. The chart has no
// script and no font of its own, follows the reader's choice of light or dark,
// and shows figures under the pointer.
func (r *Report) WriteSVG(w io.Writer) error {
	first, last := r.data.secondsIn(r.window)
	step := stepFor(last-first, maxColumns)
	rows := r.rows(step)
	c := chart{canvas: newCanvas(w, chartWidth, chartHeight, chartStyle), report: r, rows: rows, step: step}
	if len(rows) > 0 {
		c.from, c.to = rows[0].At, rows[len(rows)-1].At+step
	}
	c.title(cmp.Or(r.Name, "run"))
	c.rect("bg", 0, 0, chartWidth, chartHeight, "")
	c.head()
	c.faults()
	c.timeAxis()
	c.calls()
	c.times()
	c.events()
	return c.close()
}

// chart is one drawing of a report.
type chart struct {
	canvas
	report   *Report
	rows     []Second
	step     time.Duration
	from, to time.Duration
}

// x returns where t is.
func (c *chart) x(t time.Duration) float64 {
	if c.to <= c.from {
		return plotLeft
	}
	part := float64(t-c.from) / float64(c.to-c.from)
	return plotLeft + max(0, min(part, 1))*(plotRight-plotLeft)
}

// head writes the name, the totals and the legend.
func (c *chart) head() {
	r := c.report
	c.text("name", plotLeft, 28, cmp.Or(r.Name, "run"))
	c.text("soft", plotLeft, 48, fmt.Sprintf("seed %d, %v: %d calls, %s ok, p50 %s, p99 %s, p99.9 %s, %.2f attempts per call",
		r.Seed, r.Duration, r.Calls, percent(r.Success), short(r.P50), short(r.P99), short(r.P999), r.AttemptsPerCall))
	x := plotLeft
	for _, l := range []struct{ class, label string }{
		{"ok", "ok"}, {"failed", "failed"}, {"p50", "p50"}, {"p99", "p99"}, {"fault", "fault"}, {"event", "event"},
	} {
		switch l.class {
		case "p50", "p99":
			c.path(l.class, []*point{{x, 67}, {x + 12, 67}})
		case "event":
			c.diamond("event", x+6, 67, 5, "")
		default:
			c.rect(l.class, x, 61, 12, 12, "")
		}
		c.text("", x+18, 71, l.label)
		x += 80
	}
}

// faults shades the time of each fault, and labels it where there is room.
func (c *chart) faults() {
	var free [maxLabels]float64 // where each line of labels is free again
	for _, p := range periods(c.report.Events, c.to) {
		x1, x2 := c.x(p.from), c.x(p.to)
		c.rect("fault", x1, callsTop, max(1, x2-x1), timesBottom-callsTop, fmt.Sprintf("%s: %v to %v", p.label, p.from, p.to))
		width := labelChar * float64(len(p.label))
		left := max(plotLeft, min(x1, plotRight-width))
		for i := range free {
			if left >= free[i] {
				c.text("faultlabel", left, callsTop-6-labelHeight*float64(i), p.label)
				free[i] = left + width + 2*labelChar
				break
			}
		}
	}
}

// timeAxis draws the axis of time under both panels.
func (c *chart) timeAxis() {
	tick := stepFor(int((c.to-c.from)/time.Second), 12)
	for t := c.from.Truncate(tick); t <= c.to; t += tick {
		if t < c.from {
			continue
		}
		c.line("grid", c.x(t), callsTop, c.x(t), callsBottom)
		c.line("grid", c.x(t), timesTop, c.x(t), timesBottom)
		c.text("mid soft", c.x(t), timesBottom+20, clock(t))
	}
}

// calls draws a bar for each row.
func (c *chart) calls() {
	most := 0
	for _, s := range c.rows {
		most = max(most, s.Offered)
	}
	top := roundUp(float64(most) / c.step.Seconds()) // per second
	y := func(perSecond float64) float64 { return callsBottom - perSecond/top*(callsBottom-callsTop) }
	for i := range 5 {
		v := top * float64(i) / 4
		c.line("grid", plotLeft, y(v), plotRight, y(v))
		c.text("right soft", plotLeft-8, y(v)+4, threeDigits(v))
	}
	c.text("soft", 8, callsTop-10, "calls/s")
	for _, s := range c.rows {
		x1, x2 := c.x(s.At), c.x(s.At+c.step)
		width := max(0.5, x2-x1-min(1, (x2-x1)*0.15))
		ok, all := y(float64(s.OK)/c.step.Seconds()), y(float64(s.Offered)/c.step.Seconds())
		tip := fmt.Sprintf("%v: %d calls, %d ok, %d failed, %d attempts", s.At, s.Offered, s.OK, s.Failed, s.Attempts)
		if s.OK > 0 {
			c.rect("ok", x1, ok, width, callsBottom-ok, tip)
		}
		if s.Failed > 0 {
			c.rect("failed", x1, all, width, ok-all, tip)
		}
	}
	c.line("axis", plotLeft, callsBottom, plotRight, callsBottom)
}

// times draws the lines of latency.
func (c *chart) times() {
	low, high := decades(c.rows)
	y := func(d time.Duration) float64 {
		part := (math.Log10(float64(d)) - float64(low)) / float64(high-low)
		return timesBottom - max(0, min(part, 1))*(timesBottom-timesTop)
	}
	c.text("soft", 8, timesTop-10, "latency")
	for e := low; e <= high; e++ {
		d := time.Duration(math.Round(math.Pow10(e)))
		c.line("grid", plotLeft, y(d), plotRight, y(d))
		c.text("right soft", plotLeft-8, y(d)+4, short(d))
	}
	for _, q := range []struct {
		class string
		of    func(Second) time.Duration
	}{{"p50", func(s Second) time.Duration { return s.P50 }}, {"p99", func(s Second) time.Duration { return s.P99 }}} {
		points := make([]*point, len(c.rows))
		for i, s := range c.rows {
			if s.Offered > 0 {
				points[i] = &point{c.x(s.At + c.step/2), y(q.of(s))}
			}
		}
		c.path(q.class, points)
	}
	c.line("axis", plotLeft, timesBottom, plotRight, timesBottom)
}

// decades returns the powers of ten, in nanoseconds, between which the
// latencies of rows lie: from 1 µs to 1 ms if there are none.
func decades(rows []Second) (low, high int) {
	var all []time.Duration
	for _, s := range rows {
		if s.Offered > 0 {
			all = append(all, s.P50, s.P99)
		}
	}
	if len(all) == 0 {
		return 3, 6
	}
	low = int(math.Floor(math.Log10(float64(max(shortest, slices.Min(all))))))
	high = int(math.Ceil(math.Log10(float64(max(shortest, slices.Max(all))))))
	return low, max(high, low+1)
}

// roundUp returns the next of 1, 2, 4, 8, 10, 20, 40 and so on.
func roundUp(x float64) float64 {
	if x <= 0 {
		return 1
	}
	scale := math.Pow10(int(math.Floor(math.Log10(x))))
	for _, m := range []float64{1, 2, 4, 8} {
		if x <= m*scale {
			return m * scale
		}
	}
	return 10 * scale
}

// events marks what happened beside faults. Markers at one place share a tip.
func (c *chart) events() {
	var at float64
	var tips []string
	flush := func() {
		if len(tips) > 0 {
			c.line("eventline", at, callsTop, at, timesBottom)
			c.diamond("event", at, lane, 5, strings.Join(tips, "\n"))
		}
		tips = nil
	}
	for _, e := range c.report.Events {
		if e.Kind == Fault || e.Kind == Heal {
			continue
		}
		if x := c.x(e.At); len(tips) == 0 || x-at > 4 {
			flush()
			at = x
		}
		tips = append(tips, e.At.String()+" "+e.String())
	}
	flush()
}
