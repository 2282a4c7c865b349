package transport

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

func TestParseLoad(t *testing.T) {
	none := balance.Load{RIF: -1}
	for text, want := range map[string]balance.Load{
		"TEXT named_metrics.rif=3, named_metrics.latency_ms=12.5, cpu_utilization=0.4": {RIF: 3, Latency: 12500 * time.Microsecond, Utilization: 0.4},
		"TEXT application_utilization=0.7,cpu_utilization=0.4":                         {RIF: -1, Utilization: 0.7},
		"TEXT cpu_utilization=0.4,application_utilization=1.7":                         {RIF: -1, Utilization: 1.7},
		"TEXT cpu_utilization=0.4,application_utilization=0":                           {RIF: -1, Utilization: 0.4},
		"TEXT rps_fractional=12.5, eps = 2":                                            {RIF: -1, QPS: 12.5, EPS: 2},
		"TEXT mem_utilization=0.5":                                                     none,
		"TEXT named_metrics.rif=-3":                                                    none,
		"TEXT named_metrics.rif=NaN":                                                   none,
		"TEXT named_metrics.rif=1e300":                                                 none,
		"TEXT named_metrics.rif":                                                       none,
		"JSON {}":                                                                      none,
		"":                                                                             none,
		"TEXT " + strings.Repeat(" ", maxReport) + "named_metrics.rif=3":               none,
	} {
		got, ok := parseLoad(text)
		if got != want || ok != (want != none) {
			t.Errorf("%q is read as %+v, %t; want %+v", text, got, ok, want)
		}
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add("TEXT named_metrics.rif=3, named_metrics.latency_ms=12.5, cpu_utilization=0.4")
	f.Add("TEXT eps=1,rps_fractional=,=")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := parseLoad(text)
		for name, v := range map[string]float64{"utilization": l.Utilization, "qps": l.QPS, "eps": l.EPS, "latency": l.Latency.Seconds()} {
			if !(v >= 0) || math.IsInf(v, 0) {
				t.Errorf("%s is %v", name, v)
			}
		}
		if l.RIF < -1 || !ok && l != (balance.Load{RIF: -1}) {
			t.Errorf("%+v, %t", l, ok)
		}
	})
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"", ".", "0", "3", "12.5", ".5", "5.", "1.2.3", "-1", "+1", "1e3", "0x1p-2", "1_0", "123456789012345", "1234567890123456", "9007199254740993", "0.123456789012345", "NaN", "Inf", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := strconv.ParseFloat(s, 64)
		got, ok := parseNumber(s)
		if ok != (err == nil) || ok && got != want && !math.IsNaN(want) {
			t.Errorf("%q is read as %v, %t; want %v, %v", s, got, ok, want, err)
		}
	})
}
