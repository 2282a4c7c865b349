package dist_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

const ms = time.Millisecond

func TestAt(t *testing.T) {
	lines := dist.FromQuantiles(dist.Quantile{Q: 0.5, D: 10 * ms}, dist.Quantile{Q: 0.9, D: 50 * ms})
	for name, c := range map[string]struct {
		d    dist.Dist
		u    float64
		want time.Duration
	}{
		"zero":                  {dist.Dist{}, 0.7, 0},
		"constant":              {dist.Constant(7 * ms), 0.7, 7 * ms},
		"uniform":               {dist.Uniform(10*ms, 20*ms), 0.25, 12500 * time.Microsecond},
		"exponential median":    {dist.Exponential(10 * ms), 0.5, 6931471 * time.Nanosecond},
		"exponential is capped": {dist.Exponential(math.MaxInt64), 0.99, math.MaxInt64},
		"normal median":         {dist.Normal(100*ms, 10*ms), 0.5, 100 * ms},
		"normal +1 sd":          {dist.Normal(100*ms, 10*ms), 0.8413447460685429, 110 * ms},
		"lognormal median":      {dist.Lognormal(100*ms, 100*ms), 0.5, 70710678 * time.Nanosecond},
		"pareto 99 %":           {dist.Pareto(10*ms, 2), 0.99, 100 * ms},
		"quantiles at one":      {lines, 0.5, 10 * ms},
		"quantiles between":     {lines, 0.7, 30 * ms},
		"quantiles below":       {lines, 0.1, 10 * ms},
		"quantiles above":       {lines, 0.99, 50 * ms},
		"u below":               {dist.Uniform(10*ms, 20*ms), -1, 10 * ms},
		"u not a number":        {dist.Uniform(10*ms, 20*ms), math.NaN(), 10 * ms},
		"file not read":         {dist.Dist{Kind: dist.KindQuantiles, File: "x"}, 0.5, 0},
	} {
		if got := c.d.At(c.u); (got - c.want).Abs() > 2 {
			t.Errorf("%s: %v at %v: got %v, want %v", name, c.d, c.u, got, c.want)
		}
	}
}

// TestMean compares MeanOf with the mean of many draws.
func TestMean(t *testing.T) {
	for _, d := range []dist.Dist{
		dist.Constant(7 * ms), dist.Uniform(10*ms, 20*ms), dist.Exponential(10 * ms), dist.Normal(100*ms, 10*ms),
		dist.Normal(10*ms, 20*ms), dist.Lognormal(20*ms, 8*ms), dist.Pareto(10*ms, 3),
		{Kind: dist.KindExponential, Mean: 10 * ms, Min: 5 * ms, Max: 12 * ms},
		{Kind: dist.KindNormal, Mean: 10 * ms, SD: 5 * ms, Min: 12 * ms, Max: 30 * ms},
		{Kind: dist.KindLognormal, Mean: 20 * ms, SD: 20 * ms, Min: 5 * ms, Max: 60 * ms},
		{Kind: dist.KindPareto, Min: 10 * ms, Max: time.Second, Alpha: 1},
		{Kind: dist.KindPareto, Min: 10 * ms, Max: time.Second, Alpha: 0.7},
		dist.FromQuantiles(dist.Quantile{Q: 0.2, D: 2 * ms}, dist.Quantile{Q: 0.9, D: 9 * ms}),
	} {
		if err := d.Validate(); err != nil {
			t.Errorf("%v: %v", d, err)
		}
		const n = 200_000
		sum := 0.0
		for i := range n {
			sum += float64(d.At((float64(i) + 0.5) / n))
		}
		got, want := float64(d.MeanOf()), sum/n
		if math.Abs(got-want) > 0.002*want {
			t.Errorf("%v: got mean %v, draws have %v", d, time.Duration(got), time.Duration(want))
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		d    dist.Dist
		want []string
	}{
		"kind":            {dist.Dist{Kind: "gauss"}, []string{`kind "gauss"`, "lognormal"}},
		"negative":        {dist.Constant(-1), []string{"mean -1ns: must be positive"}},
		"not taken":       {dist.Dist{Mean: ms, SD: ms, Alpha: 2}, []string{"sd 1ms: a constant", "alpha 2: a constant"}},
		"all at once":     {dist.Dist{Kind: "normal", Mean: -1, Min: 2, Max: 1}, []string{"mean", "sd 0s", "max 1ns: must be above min"}},
		"uniform":         {dist.Uniform(2, 1), []string{"max"}},
		"no mean":         {dist.Pareto(ms, 1), []string{"alpha 1: there is no mean"}},
		"not a number":    {dist.Pareto(ms, math.NaN()), []string{"alpha NaN"}},
		"cut away":        {dist.Dist{Kind: "normal", Mean: ms, SD: ms, Min: time.Second}, []string{"next to nothing"}},
		"no quantiles":    {dist.FromQuantiles(), []string{"at least one"}},
		"both":            {dist.Dist{Kind: "quantiles", File: "x", Quantiles: []dist.Quantile{{}}}, []string{"one of the two"}},
		"falling":         {dist.FromQuantiles(dist.Quantile{Q: .5, D: 2}, dist.Quantile{Q: .9, D: 1}), []string{"quantiles[1]: d 1ns"}},
		"order of q":      {dist.FromQuantiles(dist.Quantile{Q: .5}, dist.Quantile{Q: .5}), []string{"quantiles[1]: q 0.5"}},
		"range of q":      {dist.FromQuantiles(dist.Quantile{Q: 99, D: 1}), []string{"quantiles[0]: q 99: want 0 to 1"}},
		"quantile below0": {dist.FromQuantiles(dist.Quantile{Q: .9, D: -1}), []string{"d -1ns"}},
	} {
		err := c.d.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", name, err, want)
			}
		}
	}
	if err := (dist.Dist{}).Validate(); err != nil {
		t.Errorf("zero: %v", err)
	}
}

func TestJSON(t *testing.T) {
	for in, want := range map[string]dist.Dist{
		`"20ms"`: dist.Constant(20 * ms),
		`{"kind":"lognormal","mean":"20ms","sd":"8ms","max":"1s"}`: {Kind: "lognormal", Mean: 20 * ms, SD: 8 * ms, Max: time.Second},
		`{"kind":"pareto","min":"1ms","alpha":1.5}`:                dist.Pareto(ms, 1.5),
		`{"kind":"quantiles","quantiles":[{"q":0.5,"d":"3ms"}]}`:   dist.FromQuantiles(dist.Quantile{Q: 0.5, D: 3 * ms}),
		`{"kind":"quantiles","file":"p.csv"}`:                      {Kind: "quantiles", File: "p.csv"},
	} {
		var got dist.Dist
		if err := json.Unmarshal([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
		if out, err := json.Marshal(got); err != nil || string(out) != in {
			t.Errorf("written: got %s, %v, want %s", out, err, in)
		}
	}
	for _, bad := range []string{
		`20`, `"20"`, `{"mean":20}`, `{"maen":"1s"}`, `[]`, `{"quantiles":[{"q":0.5}]}`, `{"quantiles":[{"q":0.5,"d":"1s","p":1}]}`,
	} {
		d := dist.Constant(ms)
		if err := json.Unmarshal([]byte(bad), &d); err == nil || !reflect.DeepEqual(d, dist.Constant(ms)) {
			t.Errorf("%s: got %+v, %v", bad, d, err)
		}
	}
}

func TestLayOver(t *testing.T) {
	d := dist.Lognormal(20*ms, 8*ms)
	if err := json.Unmarshal([]byte(`{"max":"1s"}`), &d); err != nil || d.Mean != 20*ms || d.Max != time.Second {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestReadQuantiles(t *testing.T) {
	q := func(q ...dist.Quantile) []dist.Quantile { return q }
	for in, want := range map[string][]dist.Quantile{
		`[{"q":0.5,"d":"3ms"},{"q":1,"d":"9ms"}]`: q(dist.Quantile{Q: 0.5, D: 3 * ms}, dist.Quantile{Q: 1, D: 9 * ms}),
		` [ "9ms", "1ms", "2ms" ]`:                q(dist.Quantile{Q: 0, D: ms}, dist.Quantile{Q: 0.5, D: 2 * ms}, dist.Quantile{Q: 1, D: 9 * ms}),
		"q, d\r\n0.5, 3ms\r\n\r\n# x\n1,9ms":      q(dist.Quantile{Q: 0.5, D: 3 * ms}, dist.Quantile{Q: 1, D: 9 * ms}),
		"d\n9ms\n1ms\n":                           q(dist.Quantile{Q: 0, D: ms}, dist.Quantile{Q: 1, D: 9 * ms}),
		"4ms":                                     q(dist.Quantile{Q: 0, D: 4 * ms}),
	} {
		if got, err := dist.ReadQuantiles(strings.NewReader(in)); err != nil || !reflect.DeepEqual(got.Quantiles, want) {
			t.Errorf("%q: got %v, %v, want %v", in, got.Quantiles, err, want)
		}
	}
	for in, want := range map[string]string{
		"":             "at least one",
		"1ms\n0.5,2ms": "want all alike",
		"1ms\nx":       `line 2: "x": want a duration`,
		"half,2ms":     `line 1: "half": want a quantile`,
		"0.9,2":        `"2": want a duration`,
		"[1]":          "quantile",
		`["1ms",2]`:    "duration",
		"-1ms":         "negative",
	} {
		if got, err := dist.ReadQuantiles(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", in, got, err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	files := fstest.MapFS{"p.csv": {Data: []byte("0,1ms\n1,3ms")}, "bad": {Data: []byte("x")}}
	d := dist.Dist{Kind: dist.KindQuantiles, File: "p.csv"}
	if got, err := d.Load(files); err != nil || got.File != "" || got.At(0.5) != 2*ms {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := dist.Constant(ms).Load(nil); err != nil || got.At(0) != ms {
		t.Errorf("no file: got %v, %v", got, err)
	}
	for _, name := range []string{"bad", "none"} {
		d.File = name
		if _, err := d.Load(files); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// anyDist draws a valid distribution.
func anyDist(t *rapid.T) dist.Dist {
	span := func(name string) time.Duration {
		return time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, name))
	}
	d := dist.Dist{
		Kind: rapid.SampledFrom([]string{"", "uniform", "exponential", "normal", "lognormal", "pareto", "quantiles"}).Draw(t, "kind"),
	}
	switch d.Kind {
	case "":
		d.Mean = span("mean")
	case "uniform":
		d.Min = span("min")
		d.Max = d.Min + span("width")
	case "pareto":
		d.Min, d.Alpha = span("min"), rapid.Float64Range(1.01, 20).Draw(t, "alpha")
	case "quantiles":
		for i := range rapid.IntRange(1, 10).Draw(t, "n") {
			d.Quantiles = append(d.Quantiles, dist.Quantile{Q: float64(i) / 10, D: time.Duration(i) * span("unit")})
			if i > 0 {
				d.Quantiles[i].D = d.Quantiles[i-1].D + span("step")
			}
		}
	default:
		d.Mean = span("mean")
		if d.Kind != "exponential" {
			d.SD = max(1, d.Mean/time.Duration(rapid.IntRange(1, 20).Draw(t, "part")))
		}
		if rapid.Bool().Draw(t, "cut") {
			d.Min, d.Max = d.Mean/4, 4*d.Mean+1
		}
	}
	return d
}

// TestProperties: At never falls, stays within the bounds, and what is written
// as JSON reads as the same.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDist(t)
		if err := d.Validate(); err != nil {
			t.Fatalf("%v: %v", d, err)
		}
		u, v := rapid.Float64Range(0, 1).Draw(t, "u"), rapid.Float64Range(0, 1).Draw(t, "v")
		low, high := d.At(min(u, v)), d.At(max(u, v))
		if low > high || low < d.Min || d.Max > 0 && high > d.Max || low < 0 {
			t.Fatalf("%v: %v at %v, %v at %v", d, low, min(u, v), high, max(u, v))
		}
		b, err := json.Marshal(d)
		var back dist.Dist
		if err != nil || json.Unmarshal(b, &back) != nil || !reflect.DeepEqual(d, back) {
			t.Fatalf("%+v is written as %s (%v), which reads as %+v", d, b, err, back)
		}
	})
}

func FuzzReadQuantiles(f *testing.F) {
	for _, s := range []string{"0.5,3ms\n1,9ms", "1ms\n2ms", `["1ms"]`, `[{"q":0.5,"d":"3ms"}]`, "q,d\n", "NaN,1s", "[", "1e400,1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := dist.ReadQuantiles(strings.NewReader(s))
		if err != nil {
			return
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("read from %q, but %v", s, err)
		}
		if m := d.MeanOf(); d.At(0) > d.At(0.999) || m < 0 {
			t.Fatalf("%q: %v at 0, %v at 0.999, mean %v", s, d.At(0), d.At(0.999), m)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`"1s"`, `{"kind":"pareto","min":"1ms","alpha":2}`, `{"quantiles":[{"q":1,"d":"1s"}]}`, `null`, `{}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d dist.Dist
		if json.Unmarshal([]byte(s), &d) != nil || d.Validate() != nil {
			return
		}
		if d.At(0.1) > d.At(0.9) || d.At(0.5) < 0 {
			t.Fatalf("%s: %v at 0.1, %v at 0.9", s, d.At(0.1), d.At(0.9))
		}
		b, err := json.Marshal(d)
		var back dist.Dist
		if err != nil || json.Unmarshal(b, &back) != nil || back.At(0.3) != d.At(0.3) {
			t.Fatalf("%s is written as %s, %v", s, b, err)
		}
	})
}
