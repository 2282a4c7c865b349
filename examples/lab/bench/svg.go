package bench

import (
	"fmt"
	"io"
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

// panel draws one figure, if any row has it: bars if there is one load, else
// lines, a panel for each variant.
func (c *chart) panel(name string) {
	var p points
	for _, r := range c.rows {
		if f, ok := r.figure(name); ok {
			p = append(p, point{r, f})
		}
	}
	if len(p) == 0 {
		return
	}
	title := strings.ReplaceAll(name, "_", " ")
	s := scaleOf(p)
	loads := p.loads()
	if len(loads) < 2 {
		c.title(title, s)
		c.bars(p, s)
		return
	}
	for _, v := range p.variants() {
		c.title(strings.TrimSuffix(title+", "+v, ", "), s)
		c.lines(p.of(v), s, loads)
	}
}

func (c *chart) title(text string, s scale) {
	switch {
	case s.log:
		text += " (logarithmic)"
	case s.low > 0:
		text += fmt.Sprintf(" (from %.0f %%)", 100*s.low)
	}
	c.text("panel", 16, c.y+18, text)
	c.y += panelHead
}

// bars draws a bar for each row.
func (c *chart) bars(p points, s scale) {
	top := c.y
	for _, v := range p {
		class := "bar"
		length := (barsRight - barsLeft) * s.part(v.figure.Value)
		switch {
		case v.figure.Name == recovery && v.figure.Value < 0:
			class, length = "never", barsRight-barsLeft
		case v.row.Policy == ours:
			class = "ours"
		}
		c.text("right", barsLeft-10, c.y+15, v.row.label())
		c.rect(class, barsLeft, c.y+3, max(1, length), barHeight-6, v.row.label()+": "+v.figure.String())
		c.text("", barsLeft+max(1, length)+6, c.y+15, v.figure.String())
		c.y += barHeight
	}
	c.line("axis", barsLeft, top, barsLeft, c.y)
	c.y += 10
}

// lines draws a line over the load for each policy.
func (c *chart) lines(p points, s scale, loads []float64) {
	top, bottom := c.y, c.y+lineHeight
	first, last := loads[0], loads[len(loads)-1]
	x := func(load float64) float64 { return linesLeft + (load-first)/(last-first)*(linesRight-linesLeft) }
	y := func(v float64) float64 { return bottom - s.part(v)*(bottom-top) }
	for _, v := range s.ticks() {
		c.line("grid", linesLeft, y(v), linesRight, y(v))
		c.text("right soft", linesLeft-8, y(v)+4, Figure{Value: v, Share: p[0].figure.Share}.String())
	}
	written := -linesRight
	for _, l := range loads {
		if x(l)-written >= 32 {
			c.text("mid soft", x(l), bottom+18, loadText(l))
			written = x(l)
		}
	}
	c.text("soft", 16, bottom+18, "load")
	for i, policy := range p.policies() {
		class, key := colour(policy, i), top+8+18*float64(i)
		c.line("s "+class, linesRight+16, key, linesRight+38, key)
		c.text("", linesRight+44, key+4, policy)
		c.series(class, policy, p, x, y)
	}
	c.line("axis", linesLeft, bottom, linesRight, bottom)
	c.y = bottom + 30
}

// series draws the line of one policy.
func (c *chart) series(class, policy string, p points, x, y func(float64) float64) {
	var path strings.Builder
	pen := "M"
	for _, v := range p {
		if v.row.Policy != policy {
			continue
		}
		px, py := x(v.row.Load), y(v.figure.Value)
		fmt.Fprintf(&path, "%s%s %s", pen, num(px), num(py))
		pen = "L"
		c.circle("d "+class, px, py, 3, fmt.Sprintf("%s, load %s: %s", policy, loadText(v.row.Load), v.figure))
	}
	fmt.Fprintf(c, "<path class=%q d=%q/>\n", "s "+class, path.String())
}

func colour(policy string, n int) string {
	if policy == ours {
		return "co"
	}
	return fmt.Sprintf("c%d", n%colours)
}
