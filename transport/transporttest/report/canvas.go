package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// canvas writes the elements of an SVG picture. What they look like is in the
// style sheet, by class. Errors stay in the writer until it is flushed.
type canvas struct{ w *bufio.Writer }

func newCanvas(w io.Writer, width, height int, style string) canvas {
	c := canvas{bufio.NewWriter(w)}
	fmt.Fprintf(c.w, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n",
		width, height, width, height)
	fmt.Fprintf(c.w, "<style>\n%s</style>\n", style)
	return c
}

func (c canvas) close() error {
	fmt.Fprintln(c.w, "</svg>")
	return c.w.Flush()
}

// title names the picture for those who cannot see it.
func (c canvas) title(s string) { fmt.Fprintf(c.w, "<title>%s</title>\n", escape(s)) }

// rect draws a rectangle; tip, if any, shows under the pointer.
func (c canvas) rect(class string, x, y, width, height float64, tip string) {
	fmt.Fprintf(c.w, "<rect class=%q x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\"", class, num(x), num(y), num(width), num(height))
	c.end("rect", tip)
}

func (c canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c.w, "<line class=%q x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\"/>\n", class, num(x1), num(y1), num(x2), num(y2))
}

// path draws lines through points, and lifts the pen where a point is nil.
func (c canvas) path(class string, points []*point) {
	var b strings.Builder
	pen := "M"
	for _, p := range points {
		if p == nil {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%s %s", pen, num(p.x), num(p.y))
		if pen == "M" {
			b.WriteString("h0.1") // a point on its own is seen too
		}
		pen = "L"
	}
	if b.Len() > 0 {
		fmt.Fprintf(c.w, "<path class=%q d=\"%s\"/>\n", class, b.String())
	}
}

type point struct{ x, y float64 }

// diamond draws a marker around a point.
func (c canvas) diamond(class string, x, y, size float64, tip string) {
	fmt.Fprintf(c.w, "<path class=%q d=\"M%s %sl%s %sl%s %sl%s %sz\"", class, num(x), num(y-size),
		num(size), num(size), num(-size), num(size), num(-size), num(-size))
	c.end("path", tip)
}

// text writes s; class says which side of it is at x.
func (c canvas) text(class string, x, y float64, s string) {
	fmt.Fprintf(c.w, "<text class=%q x=\"%s\" y=\"%s\">%s</text>\n", class, num(x), num(y), escape(s))
}

func (c canvas) end(element, tip string) {
	if tip == "" {
		fmt.Fprintln(c.w, "/>")
		return
	}
	fmt.Fprintf(c.w, "><title>%s</title></%s>\n", escape(tip), element)
}

// num writes x to a tenth of a pixel.
func num(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
