package bench

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// canvas collects the elements of an SVG picture. What they look like is in the
// style sheet, by class.
type canvas struct{ strings.Builder }

func (c *canvas) rect(class string, x, y, width, height float64, tip string) {
	fmt.Fprintf(c, "<rect class=%q x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\"", class, num(x), num(y), num(width), num(height))
	c.end("rect", tip)
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, "<line class=%q x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\"/>\n", class, num(x1), num(y1), num(x2), num(y2))
}

func (c *canvas) circle(class string, x, y, radius float64, tip string) {
	fmt.Fprintf(c, "<circle class=%q cx=\"%s\" cy=\"%s\" r=\"%s\"", class, num(x), num(y), num(radius))
	c.end("circle", tip)
}

// text writes s; class says which side of it is at x.
func (c *canvas) text(class string, x, y float64, s string) {
	fmt.Fprintf(c, "<text class=%q x=\"%s\" y=\"%s\">%s</text>\n", class, num(x), num(y), escape(s))
}

func (c *canvas) end(element, tip string) {
	if tip == "" {
		c.WriteString("/>\n")
		return
	}
	fmt.Fprintf(c, "><title>%s</title></%s>\n", escape(tip), element)
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
