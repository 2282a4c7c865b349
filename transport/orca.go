package transport

import (
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// maxReport bounds the load report that is read.
const maxReport = 1024

// parseLoad reads an ORCA report in text form, the value of
// Endpoint-Load-Metrics. ok is false if it says nothing of what is known here.
// Numbers that make no sense are passed over. Source: gRFC A51 and Envoy's
// ORCA load report in HTTP headers.
func parseLoad(s string) (l balance.Load, ok bool) {
	l.RIF = -1
	s, text := strings.CutPrefix(s, "TEXT ")
	if !text || len(s) > maxReport {
		return l, false
	}
	for s != "" {
		var field string
		field, s, _ = strings.Cut(s, ",")
		name, value, _ := strings.Cut(field, "=")
		n, valid := parseNumber(strings.TrimSpace(value))
		if !valid || !(n >= 0 && n <= 1e9) { // NaN too
			continue
		}
		known := true
		switch strings.TrimSpace(name) {
		case "named_metrics.rif":
			l.RIF = int(n)
		case "named_metrics.latency_ms":
			l.Latency = time.Duration(n * float64(time.Millisecond))
		case "application_utilization":
			if n > 0 {
				l.Utilization = n
			}
		case "cpu_utilization": // what the application says of itself goes before
			if l.Utilization == 0 {
				l.Utilization = n
			}
		case "rps_fractional":
			l.QPS = n
		case "eps":
			l.EPS = n
		default:
			known = false
		}
		ok = ok || known
	}
	return l, ok
}

// parseNumber is strconv.ParseFloat, three times as fast for what reports are
// made of: a few digits, perhaps with a point among them.
func parseNumber(s string) (float64, bool) {
	const exact = 15 // a float64 holds every integer of so many digits
	n, scale, point := 0, 1, false
	for i := range len(s) {
		c := s[i]
		switch {
		case i >= exact || c != '.' && (c < '0' || c > '9') || c == '.' && (point || len(s) == 1):
			f, err := strconv.ParseFloat(s, 64)
			return f, err == nil
		case c == '.':
			point = true
		default:
			n = 10*n + int(c-'0')
			if point {
				scale *= 10
			}
		}
	}
	return float64(n) / float64(scale), s != ""
}
