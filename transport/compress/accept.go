package compress

import (
	"net/http"
	"strings"
)

// weight is a quality value in thousandths; unstated if there is none.
type weight int

const unstated weight = -1

// wantsGzip reports whether the client accepts gzip, and likes it no less than
// what is not encoded (RFC 9110, 12.5.3). A client that does not say gets plain
// bodies.
func wantsGzip(h http.Header) bool {
	gzip, identity, others := unstated, unstated, unstated
	for _, line := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			coding, q := parseCoding(part)
			switch coding {
			case "gzip", "x-gzip":
				gzip = max(gzip, q)
			case "identity":
				identity = max(identity, q)
			case "*":
				others = max(others, q)
			}
		}
	}
	if gzip == unstated {
		gzip = others
	}
	return gzip > 0 && gzip >= identity
}

// parseCoding reads one element of Accept-Encoding. One with a weight that is
// none is taken as refused.
func parseCoding(s string) (coding string, q weight) {
	coding, params, _ := strings.Cut(s, ";")
	q = 1000
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q = parseWeight(strings.TrimSpace(value))
		}
	}
	return strings.ToLower(strings.TrimSpace(coding)), q
}

// parseWeight reads 0 to 1 with up to three decimals, and takes all else for 0.
func parseWeight(s string) weight {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0
	}
	q := weight(whole[0]-'0') * 1000
	unit := weight(100)
	for _, c := range []byte(decimals) {
		if c < '0' || c > '9' {
			return 0
		}
		q += weight(c-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return 0
	}
	return q
}
