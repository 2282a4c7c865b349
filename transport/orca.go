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
	for field := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(n >= 0 && n <= 1e9) { // NaN too
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
