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
		field, s = cutByte(s, ',')
		name, value := cutByte(field, '=')
		n, valid := parseNumber(trim(value))
		if !valid || !(n >= 0 && n <= 1e9) { // NaN too
			continue
		}
		known := true
		switch trim(name) {
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

// cutByte is strings.Cut for a byte.
func cutByte(s string, sep byte) (before, after string) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// trim is strings.TrimSpace, for what mostly begins with one space and ends with
// none.
func trim(s string) string {
	if s != "" && s[0] == ' ' {
		s = s[1:]
	}
	if s != "" && s[0] > ' ' && s[0] < 0x80 && s[len(s)-1] > ' ' && s[len(s)-1] < 0x80 {
		return s
	}
	return strings.TrimSpace(s)
}

// parseNumber is strconv.ParseFloat, several times as fast for what reports are
// made of: a few digits, perhaps with a point among them.
func parseNumber(s string) (float64, bool) {
	const exact = 15 // a float64 holds every integer of so many digits
	n, scale, i := 0, 1, 0
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		n = 10*n + int(s[i]-'0')
	}
	if i > 0 && i < len(s) && s[i] == '.' {
		for i++; i < len(s) && s[i]-'0' <= 9; i++ {
			n, scale = 10*n+int(s[i]-'0'), 10*scale
		}
	}
	if i == 0 || i < len(s) || i > exact {
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return float64(n) / float64(scale), true
}
