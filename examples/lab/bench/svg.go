package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// The chart in pixels. Panels stand one below the other.
const (
	chartWidth = 900.0
	chartHead  = 64.0
	panelHead  = 34.0
	barHeight  = 22.0
	barsLeft   = 220.0
	barsRight  = chartWidth - 90
	lineHeight = 220.0
	linesLeft  = 70.0
	linesRight = chartWidth - 190
	colours    = 8
)

const chartStyle = `text{font:12px system-ui,sans-serif;fill:#24292f}
.bg{fill:#fff}.name{font-size:16px;font-weight:600}.panel{font-weight:600}.soft{fill:#57606a}
.mid{text-anchor:middle}.right{text-anchor:end}.grid{stroke:#d8dee4}.axis{stroke:#57606a}
.bar{fill:#8aa9c4}.ours{fill:#1a7f64}.never{fill:#d1343a}
.s{fill:none;stroke-width:1.8}.d{stroke:none}
.c0{color:#4a90c4}.c1{color:#b35309}.c2{color:#8250df}.c3{color:#6e7781}
.c4{color:#d1343a}.c5{color:#bf8700}.c6{color:#bc4c9c}.c7{color:#0b7285}.co{color:#1a7f64}
.s{stroke:currentColor}.d{fill:currentColor}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.bg{fill:#0d1117}.soft{fill:#9da7b3}.grid{stroke:#262c34}.axis{stroke:#9da7b3}
.bar{fill:#4c6f8e}.ours{fill:#3fc29a}.never{fill:#ff6b62}
.c0{color:#4f9bd3}.c1{color:#f0a35e}.c2{color:#b392f0}.c3{color:#9da7b3}
.c4{color:#ff6b62}.c5{color:#e3b341}.c6{color:#e08bc6}.c7{color:#4dbdcc}.co{color:#3fc29a}
}
`

// ours is the policy that charts set off.
const ours = "gabion"

// writeSVG writes a chart that stands on its own: bars if there is one load,
// lines over the load otherwise, a panel for each figure.
func writeSVG(w io.Writer, e *Experiment, seed uint64, rows []Row) error {
	figures := e.Chart
	if figures == nil {
		figures = e.Columns
	}
	if figures == nil {
		figures = columnsOf(rows)
	}
	c := &chart{rows: rows, y: chartHead}
	for _, name := range figures {
		c.panel(name)
	}
	height := int(c.y + 16)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>%s</title>
<style>
%s</style>
<rect class="bg" width="%d" height="%d"/>
<text class="name" x="16" y="28">%s</text>
<text class="soft" x="16" y="48">%s, seed %d</text>
%s</svg>
`, int(chartWidth), height, int(chartWidth), height, escape(e.Title), chartStyle,
		int(chartWidth), height, escape(e.Name), escape(e.Title), seed, c.String())
	return err
}

// chart is one drawing of rows.
type chart struct {
	canvas
	rows []Row
	y    float64 // where the next panel begins
}

// panel draws one figure, if any row has it.
func (c *chart) panel(name string) {
	var rows []Row
	var values []Figure
	for _, r := range c.rows {
		if f, ok := r.figure(name); ok {
			rows, values = append(rows, r), append(values, f)
		}
	}
	if len(rows) == 0 {
		return
	}
	s := scaleOf(values)
	title := strings.ReplaceAll(name, "_", " ")
	switch {
	case s.log:
		title += " (logarithmic)"
	case s.low > 0:
		title += fmt.Sprintf(" (from %.0f %%)", 100*s.low)
	}
	c.text("panel", 16, c.y+18, title)
	c.y += panelHead
	if loads := loadsOf(rows); len(loads) > 1 {
		c.lines(rows, values, s, loads)
	} else {
		c.bars(rows, values, s)
	}
}

// bars draws a bar for each row.
func (c *chart) bars(rows []Row, values []Figure, s scale) {
	for i := range rows {
		v := values[i]
		class := "bar"
		length := (barsRight - barsLeft) * s.part(v.Value)
		switch {
		case v.Name == recovery && v.Value < 0:
			class, length = "never", barsRight-barsLeft
		case rows[i].Policy == ours:
			class = "ours"
		}
		c.text("right", barsLeft-10, c.y+15, rows[i].label())
		c.rect(class, barsLeft, c.y+3, max(1, length), barHeight-6, rows[i].label()+": "+v.String())
		c.text("", barsLeft+max(1, length)+6, c.y+15, v.String())
		c.y += barHeight
	}
	c.line("axis", barsLeft, c.y-barHeight*float64(len(rows)), barsLeft, c.y)
}

// lines draws a line over the load for each policy and variant.
func (c *chart) lines(rows []Row, values []Figure, s scale, loads []float64) {
	top, bottom := c.y, c.y+lineHeight
	first, last := loads[0], loads[len(loads)-1]
	x := func(load float64) float64 { return linesLeft + (load-first)/(last-first)*(linesRight-linesLeft) }
	y := func(v float64) float64 { return bottom - s.part(v)*(bottom-top) }
	for _, v := range s.ticks() {
		c.line("grid", linesLeft, y(v), linesRight, y(v))
		c.text("right soft", linesLeft-8, y(v)+4, Figure{Name: values[0].Name, Value: v, Share: values[0].Share}.String())
	}
	for _, l := range loads {
		c.text("mid soft", x(l), bottom+18, fmt.Sprintf("%.2f", l))
	}
	var series []string
	for i := range rows {
		label := rows[i].label()
		n := slices.Index(series, label)
		if n < 0 {
			n = len(series)
			series = append(series, label)
			c.text("", linesRight+44, top+12+18*float64(n), label)
			class := colour(rows[i].Policy, n)
			c.line("s "+class, linesRight+16, top+8+18*float64(n), linesRight+38, top+8+18*float64(n))
			c.series(class, label, rows, values, x, y)
		}
	}
	c.line("axis", linesLeft, bottom, linesRight, bottom)
	c.y = max(bottom+30, top+18*float64(len(series)+1))
}

// series draws the line of the rows with one label.
func (c *chart) series(class, label string, rows []Row, values []Figure, x, y func(float64) float64) {
	var path strings.Builder
	pen := "M"
	for i := range rows {
		if rows[i].label() != label {
			continue
		}
		px, py := x(rows[i].Load), y(values[i].Value)
		fmt.Fprintf(&path, "%s%s %s", pen, num(px), num(py))
		pen = "L"
		c.circle("d "+class, px, py, 3, fmt.Sprintf("%s, load %.2f: %s", label, rows[i].Load, values[i]))
	}
	fmt.Fprintf(c, "<path class=%q d=%q/>\n", "s "+class, path.String())
}

func colour(policy string, n int) string {
	if policy == ours {
		return "co"
	}
	return fmt.Sprintf("c%d", n%colours)
}

// loadsOf returns the different loads in ascending order.
func loadsOf(rows []Row) []float64 {
	var loads []float64
	for _, r := range rows {
		loads = append(loads, r.Load)
	}
	slices.Sort(loads)
	return slices.Compact(loads)
}

// scale places values between 0 and 1.
type scale struct {
	low, high float64
	log       bool
}

// scaleOf returns a scale from zero, or a logarithmic one if the values are too
// far apart for that. Of shares that are all above 90 % the rest is shown.
func scaleOf(values []Figure) scale {
	least, low, high := math.Inf(1), math.Inf(1), 0.0
	for _, f := range values {
		least = min(least, f.Value)
		if f.Value > 0 {
			low = min(low, f.Value)
		}
		high = max(high, f.Value)
	}
	switch {
	case high == 0:
		return scale{0, 1, false}
	case values[0].Share && least > 0.9:
		return scale{0.9, 1, false}
	case values[0].Share:
		return scale{0, high, false}
	case high/low > 50:
		return scale{math.Pow10(int(math.Floor(math.Log10(low)))), high, true}
	}
	return scale{0, high, false}
}

func (s scale) part(v float64) float64 {
	if s.log {
		if v <= s.low {
			return 0
		}
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return max(0, (v-s.low)/(s.high-s.low))
}

// ticks returns round values for the lines of a grid.
func (s scale) ticks() []float64 {
	if s.log {
		var list []float64
		for v := s.low; v <= s.high*1.001; v *= 10 {
			list = append(list, v)
		}
		return list
	}
	step := math.Pow10(int(math.Floor(math.Log10(s.high - s.low))))
	for (s.high-s.low)/step < 4 {
		step /= 2
	}
	var list []float64
	for v := s.low; v <= s.high*1.001; v += step {
		list = append(list, v)
	}
	return list
}
