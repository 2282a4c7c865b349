package transport_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport"
)

func TestCallerTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		header map[string]string
		want   time.Duration
		ok     bool
	}{
		"none":            {},
		"envoy":           {map[string]string{transport.HeaderTimeout: "250"}, 250 * time.Millisecond, true},
		"zero":            {map[string]string{transport.HeaderTimeout: "0"}, 0, true},
		"connect":         {map[string]string{"Connect-Timeout-Ms": "1500"}, 1500 * time.Millisecond, true},
		"grpc seconds":    {map[string]string{"Grpc-Timeout": "3S"}, 3 * time.Second, true},
		"grpc micro":      {map[string]string{"Grpc-Timeout": "10u"}, 10 * time.Microsecond, true},
		"grpc hours":      {map[string]string{"Grpc-Timeout": "99999999H"}, 24 * time.Hour, true},
		"least wins":      {map[string]string{transport.HeaderTimeout: "900", "Grpc-Timeout": "200m", "Connect-Timeout-Ms": "500"}, 200 * time.Millisecond, true},
		"negative":        {map[string]string{transport.HeaderTimeout: "-5"}, 0, false},
		"words":           {map[string]string{transport.HeaderTimeout: "soon"}, 0, false},
		"too long":        {map[string]string{transport.HeaderTimeout: "99999999999"}, 0, false},
		"grpc no unit":    {map[string]string{"Grpc-Timeout": "100"}, 0, false},
		"grpc no number":  {map[string]string{"Grpc-Timeout": "S"}, 0, false},
		"garbage ignored": {map[string]string{transport.HeaderTimeout: "x", "Grpc-Timeout": "1S"}, time.Second, true},
	} {
		h := http.Header{}
		for k, v := range tc.header {
			h.Set(k, v)
		}
		if got, ok := transport.CallerTimeout(h); got != tc.want || ok != tc.ok {
			t.Errorf("%s: got %v %v, want %v %v", name, got, ok, tc.want, tc.ok)
		}
	}
}

func FuzzCallerTimeout(f *testing.F) {
	f.Add("250", "3S", "10")
	f.Add("-1", "99999999H", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		h := http.Header{transport.HeaderTimeout: {a}, "Grpc-Timeout": {b}, "Connect-Timeout-Ms": {c}}
		d, ok := transport.CallerTimeout(h)
		if ok && (d < 0 || d > 24*time.Hour) {
			t.Errorf("got %v of %q %q %q", d, a, b, c)
		}
	})
}
