package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeText writes the rows as a table, what others published beside each, and
// what the experiment is about.
func writeText(w io.Writer, e *Experiment, seed uint64, rows []Row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (seed %d)\n\n", e.Name, e.Title, seed)
	t := newTable(e, rows)
	t.write(&b)
	t.writeOthers(&b)
	t.writeSources(&b)
	fmt.Fprintln(&b)
	writeParagraphs(&b, e.About)
	_, err := io.WriteString(w, b.String())
	return err
}

// table is the rows as text.
type table struct {
	experiment *Experiment
	rows       []Row
	head       []string
	cells      [][]string
	widths     []int
	left       int      // columns in front that are words
	sources    []string // numbered from 1
	beside     map[int][]Published
	others     []Published
}

func newTable(e *Experiment, rows []Row) *table {
	t := &table{experiment: e, rows: rows, beside: map[int][]Published{}}
	columns := e.Columns
	if columns == nil {
		columns = columnsOf(rows)
	}
	t.fill(columns)
	for _, p := range e.Published {
		if !slices.Contains(t.sources, p.Source) {
			t.sources = append(t.sources, p.Source)
		}
		if i := beside(p, rows); i >= 0 {
			t.beside[i] = append(t.beside[i], p)
		} else if !slices.Contains(e.Policies, p.Policy) {
			t.others = append(t.others, p)
		}
	}
	return t
}

// beside returns the row that p belongs to, or -1.
func beside(p Published, rows []Row) int {
	return slices.IndexFunc(rows, func(r Row) bool {
		return r.Policy == p.Policy && (p.Variant == "" || p.Variant == r.Variant) && (p.Load == 0 || p.Load == r.Load)
	})
}

// columnsOf returns the names of all figures that any row has.
func columnsOf(rows []Row) []string {
	var names []string
	for _, r := range rows {
		for _, f := range r.figures() {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// fill makes the cells.
func (t *table) fill(columns []string) {
	t.column("policy", func(r *Row) string { return r.Policy })
	if slices.ContainsFunc(t.rows, func(r Row) bool { return r.Variant != "" }) {
		t.column("variant", func(r *Row) string { return r.Variant })
	}
	t.left = len(t.head)
	if slices.ContainsFunc(t.rows, func(r Row) bool { return r.Load != 0 }) {
		t.column("load", func(r *Row) string { return loadText(r.Load) })
	}
	for _, name := range columns {
		t.column(strings.ReplaceAll(name, "_", " "), func(r *Row) string {
			if f, ok := r.figure(name); ok {
				return f.String()
			}
			return ""
		})
	}
}

// leastWidth is how wide a column is at least, if its head is that long.
const leastWidth = 7

// column adds a column. Its head is broken into lines as narrow as the cells.
func (t *table) column(head string, cell func(*Row) string) {
	if t.cells == nil {
		t.cells = make([][]string, len(t.rows))
	}
	width := min(len(head), leastWidth)
	for i := range t.rows {
		c := cell(&t.rows[i])
		t.cells[i] = append(t.cells[i], c)
		width = max(width, len(c))
	}
	for word := range strings.FieldsSeq(head) {
		width = max(width, len(word))
	}
	t.head = append(t.head, head)
	t.widths = append(t.widths, width)
}

func (t *table) write(b *strings.Builder) {
	t.writeHead(b)
	for i, cells := range t.cells {
		t.writeLine(b, cells)
		for _, p := range t.beside[i] {
			b.WriteString(t.published("", p))
		}
		if note := t.rows[i].Note; note != "" {
			b.WriteString(wrap(note, "    "))
		}
	}
}

// writeHead writes the names of the columns, the last line of each at the
// bottom.
func (t *table) writeHead(b *strings.Builder) {
	lines := make([][]string, len(t.head))
	height := 0
	for i, h := range t.head {
		lines[i] = narrow(h, t.widths[i])
		height = max(height, len(lines[i]))
	}
	for y := range height {
		cells := make([]string, len(lines))
		for i, l := range lines {
			if at := y - (height - len(l)); at >= 0 {
				cells[i] = l[at]
			}
		}
		t.writeLine(b, cells)
	}
}

// narrow breaks text into lines of at most width.
func narrow(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

func (t *table) writeLine(b *strings.Builder, cells []string) {
	var line strings.Builder
	for i, c := range cells {
		if i < t.left {
			fmt.Fprintf(&line, "%-*s  ", t.widths[i], c)
		} else {
			fmt.Fprintf(&line, "%*s  ", t.widths[i], c)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// published returns the lines of what others found, behind the number of the
// source.
func (t *table) published(who string, p Published) string {
	return wrap(fmt.Sprintf("[%d] %s%s", 1+slices.Index(t.sources, p.Source), who, p.Figures), "    ")
}

// writeOthers writes what was published about policies that we do not have.
func (t *table) writeOthers(b *strings.Builder) {
	if len(t.others) == 0 {
		return
	}
	b.WriteString("\nPolicies that are not here:\n")
	for _, p := range t.others {
		who := p.Policy
		if p.Variant != "" {
			who += ", " + p.Variant
		}
		if p.Load != 0 {
			who += ", load " + loadText(p.Load)
		}
		b.WriteString(t.published(who+": ", p))
	}
}

func (t *table) writeSources(b *strings.Builder) {
	if len(t.sources) == 0 {
		return
	}
	b.WriteString("\nBeside our figures are those of:\n")
	for i, s := range t.sources {
		b.WriteString(wrap(fmt.Sprintf("[%d] %s", i+1, s), "  "))
	}
}
