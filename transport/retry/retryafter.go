package retry

import (
	"net/http"
	"strings"
	"time"
)

// ParseRetryAfter reads the value of a Retry-After header: whole seconds or an
// HTTP date, which counts from now. A time that has passed and a negative
// number are 0, more than 30 s is 30 s. It returns false for anything else, an
// empty value included.
func ParseRetryAfter(h string, now time.Time) (time.Duration, bool) {
	h = strings.TrimSpace(h)
	if h == "" {
		return 0, false
	}
	d, ok := parseSeconds(h)
	if !ok {
		at, err := http.ParseTime(h)
		if err != nil {
			return 0, false
		}
		d = at.Sub(now)
	}
	return max(0, min(d, DefaultMaxRetryAfter)), true
}

// parseSeconds reads an optional minus and digits. It stops counting above
// the bound, so that no number of digits overflows.
func parseSeconds(h string) (time.Duration, bool) {
	digits, negative := strings.CutPrefix(h, "-")
	if digits == "" {
		return 0, false
	}
	most := int64(DefaultMaxRetryAfter/time.Second) + 1
	var n int64
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	if negative {
		n = 0
	}
	return time.Duration(n) * time.Second, true
}
