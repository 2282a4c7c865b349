package compress

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestWantsGzip(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                  false,
		"gzip":                              true,
		"GZIP":                              true,
		"x-gzip":                            true,
		" deflate , gzip ;q=0.5,br":         true,
		"br, deflate":                       false,
		"*":                                 true,
		"*;q=0":                             false,
		"gzip;q=0":                          false,
		"gzip;q=0.000":                      false,
		"gzip;q=0.001":                      true,
		"gzip;q=1.000":                      true,
		"gzip;q=1.001":                      false,
		"gzip;q=0.0001":                     false,
		"gzip;q=":                           false,
		"gzip;q=x":                          false,
		"gzip;q=-1":                         false,
		"gzip;q=+1":                         false,
		"gzip;Q=0":                          false,
		"gzip;level=1;q=0":                  false,
		"gzip;q=0, *":                       false,
		"identity":                          false,
		"identity, gzip":                    true,
		"identity;q=1, gzip;q=0.5":          false,
		"identity;q=0.5, gzip;q=1":          true,
		"identity;q=0, *;q=0.1":             true,
		"gzipped":                           false,
		"gzip deflate":                      false,
		"gzip;q=0.5;q=0":                    false,
		",,gzip,,":                          true,
		strings.Repeat("br,", 100) + "gzip": true,
	} {
		if got := wantsGzip(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("Accept-Encoding %q: got %v, want %v", accept, got, want)
		}
	}
	if !wantsGzip(http.Header{"Accept-Encoding": {"br", "gzip"}}) || wantsGzip(nil) {
		t.Error("a second line does not count as the first does")
	}
}

var qvalue = regexp.MustCompile(`^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$`)

// FuzzWantsGzip holds the weights against the grammar, and that gzip is never
// sent to a client that did not name it.
func FuzzWantsGzip(f *testing.F) {
	for _, s := range []string{"gzip", "gzip;q=0.5, identity", "*;q=0", ";;q=,", "gzip;q=1.0000", "1.", "0.12", "x-gzip;q=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lower := strings.ToLower(s)
		if wantsGzip(http.Header{"Accept-Encoding": {s}}) && !strings.Contains(lower, "gzip") && !strings.Contains(s, "*") {
			t.Fatalf("Accept-Encoding %q is taken for a wish of gzip", s)
		}
		var want weight
		if x, err := strconv.ParseFloat(s, 64); qvalue.MatchString(s) && err == nil {
			want = weight(x*1000 + 0.5)
		}
		if got := parseWeight(s); got != want {
			t.Fatalf("weight %q is %d, want %d", s, got, want)
		}
	})
}
