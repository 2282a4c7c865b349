package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteCSV writes one line for each second, after one with the names of the
// columns: when the second begins in seconds, the counts, the latencies in
// milliseconds, and the events joined by "; ".
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"second", "offered", "ok", "failed", "attempts", "p50_ms", "p99_ms", "events"}) // Error tells
	events := eventsByRow(r.Events, r.PerSecond, time.Second)
	for i, s := range r.PerSecond {
		_ = out.Write([]string{
			strconv.Itoa(int(s.At / time.Second)), strconv.Itoa(s.Offered), strconv.Itoa(s.OK), strconv.Itoa(s.Failed),
			strconv.Itoa(s.Attempts), milliseconds(s.P50), milliseconds(s.P99), strings.Join(events[i], "; "),
		})
	}
	out.Flush()
	return out.Error()
}

// milliseconds writes d in milliseconds, to the microsecond.
func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/float64(time.Millisecond), 'f', -1, 64)
}
