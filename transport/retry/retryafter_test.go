package retry_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for h, want := range map[string]time.Duration{
		"0":                       0,
		"1":                       time.Second,
		" 12\t":                   12 * time.Second,
		"007":                     7 * time.Second,
		"30":                      30 * time.Second,
		"31":                      30 * time.Second,
		"120":                     30 * time.Second,
		"9223372036854775808":     30 * time.Second,
		strings.Repeat("9", 1000): 30 * time.Second,
		"-1":                      0,
		"-99999999999999999999":   0,
		at(5 * time.Second):       5 * time.Second,
		at(time.Hour):             30 * time.Second,
		at(-time.Hour):            0,
		at(0):                     0,
		now.Add(9 * time.Second).Format("Monday, 02-Jan-06 15:04:05 GMT"): 9 * time.Second, // RFC 850
		now.Add(9 * time.Second).Format(time.ANSIC):                       9 * time.Second,
		"Fri, 31 Dec 9999 23:59:59 GMT":                                   30 * time.Second,
		"Mon, 01 Jan 0001 00:00:00 GMT":                                   0,
	} {
		if got, ok := retry.ParseRetryAfter(h, now); !ok || got != want {
			t.Errorf("%.60q: got %v, %v; want %v", h, got, ok, want)
		}
	}
	for _, h := range []string{"", " ", "-", "--1", "+1", "1.5", "1s", "1e3", "0x10", "1 2", "soon", "٣", "Fri", "\x00", "2026-03-01T12:00:00Z"} {
		if got, ok := retry.ParseRetryAfter(h, now); ok || got != 0 {
			t.Errorf("%q: got %v, %v; want it refused", h, got, ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, h := range []string{"", "1", "-5", "99999999999999999999", "Sun, 01 Mar 2026 12:00:05 GMT", "x"} {
		f.Add(h, int64(0))
		f.Add(h, now.Unix())
	}
	f.Fuzz(func(t *testing.T, h string, unix int64) {
		d, ok := retry.ParseRetryAfter(h, time.Unix(unix, 0))
		if d < 0 || d > 30*time.Second || !ok && d != 0 {
			t.Errorf("%q at %d: %v, %v", h, unix, d, ok)
		}
	})
}

func TestIdempotent(t *testing.T) {
	key := http.Header{"Idempotency-Key": {"a1"}}
	blank := http.Header{"Idempotency-Key": {"  "}}
	for _, c := range []struct {
		method string
		h      http.Header
		want   bool
	}{
		{"", nil, true}, {"GET", nil, true}, {"HEAD", nil, true}, {"OPTIONS", nil, true}, {"TRACE", nil, true},
		{"PUT", nil, true}, {"DELETE", nil, true}, {"POST", nil, false}, {"PATCH", nil, false}, {"CONNECT", nil, false},
		{"get", nil, false}, {"QUERYISH", nil, false},
		{"POST", key, true}, {"PATCH", key, true}, {"POST", blank, false}, {"POST", http.Header{}, false},
	} {
		if got := retry.Idempotent(c.method, c.h); got != c.want {
			t.Errorf("%q with %v: %v, want %v", c.method, c.h, got, c.want)
		}
	}
}
