package load_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

const ms = time.Millisecond

func TestArrivals(t *testing.T) {
	for name, c := range map[string]struct {
		l    load.Load
		want []time.Duration
	}{
		"constant":         {load.Load{Kind: load.Constant, Rate: 3}, []time.Duration{0, 333333333, 666666666, time.Second, 1333333333, 1666666666}},
		"start and for":    {load.Load{Kind: load.Constant, Rate: 10, Start: time.Second, For: 200 * ms}, []time.Duration{time.Second, 1100 * ms}},
		"starts too late":  {load.Load{Kind: load.Constant, Rate: 10, Start: 2 * time.Second}, nil},
		"one burst":        {load.Load{Kind: load.Burst, Burst: 3, Start: 5}, []time.Duration{5, 6, 7}},
		"bursts":           {load.Load{Kind: load.Burst, Burst: 2, Every: 1500 * ms}, []time.Duration{0, 1, 1500 * ms, 1500*ms + 1}},
		"replay":           {load.Load{Kind: load.Replay, At: []time.Duration{1, 1, 2, time.Second, time.Hour}, Start: 10}, []time.Duration{11, 12, 13, time.Second + 10}},
		"closed":           {load.Load{Kind: load.Closed, Workers: 3}, nil},
		"For beyond limit": {load.Load{Kind: load.Burst, Burst: 1, Start: 1, For: math.MaxInt64}, []time.Duration{1}},
	} {
		if got := slices.Collect(c.l.Arrivals(1, 2*time.Second)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// TestMean counts arrivals: the standard deviation of a Poisson process's count
// is the root of its mean, and 5 of those are never exceeded by chance.
func TestMean(t *testing.T) {
	for name, c := range map[string]struct {
		l    load.Load
		want float64 // in 100 s
		half float64 // in the first 50 s
	}{
		"poisson": {load.Load{Rate: 100}, 10_000, 5_000},
		"up":      {load.Load{Kind: load.Ramp, To: 200}, 10_000, 2_500},
		"down":    {load.Load{Kind: load.Ramp, Rate: 200}, 10_000, 7_500},
		"level":   {load.Load{Kind: load.Ramp, Rate: 50, To: 50.001}, 5_000, 2_500},
	} {
		for seed := range uint64(5) {
			all := slices.Collect(c.l.Arrivals(seed, 100*time.Second))
			half, _ := slices.BinarySearch(all, 50*time.Second)
			if math.Abs(float64(len(all))-c.want) > 5*math.Sqrt(c.want) || math.Abs(float64(half)-c.half) > 5*math.Sqrt(c.half) {
				t.Errorf("%s, seed %d: got %d, %d in the first half; want about %v and %v", name, seed, len(all), half, c.want, c.half)
			}
		}
	}
}

func TestStreamsAreIndependent(t *testing.T) {
	first := func(l load.Load, seed uint64) time.Duration {
		for at := range l.Arrivals(seed, time.Hour) {
			return at
		}
		return -1
	}
	a, b := load.Load{Client: "a", Rate: 1}, load.Load{Client: "b", Rate: 1}
	if first(a, 1) == first(b, 1) || first(a, 1) == first(a, 2) {
		t.Errorf("got %v, %v, %v", first(a, 1), first(b, 1), first(a, 2))
	}
}

func valid() load.Load { return load.Load{Client: "web", Service: "cart", Rate: 1} }

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*load.Load)
		want   []string
	}{
		"required":      {func(l *load.Load) { l.Client, l.Service = "", "" }, []string{"client is missing", "service is missing"}},
		"request":       {func(l *load.Load) { l.Method, l.Path = "G T", "x" }, []string{`method "G T"`, `path "x"`}},
		"header":        {func(l *load.Load) { l.Header = map[string]string{"a b": "", "C": "x\ny"} }, []string{`header "a b"`, `header "C"`}},
		"kind":          {func(l *load.Load) { l.Kind = "flood" }, []string{`kind "flood": want poisson`}},
		"rate":          {func(l *load.Load) { l.Rate = 0 }, []string{"rate 0"}},
		"rate infinite": {func(l *load.Load) { l.Rate = math.Inf(1) }, []string{"rate +Inf"}},
		"not taken":     {func(l *load.Load) { l.To, l.Burst, l.Workers = 1, 1, 1 }, []string{"to: a poisson", "burst: a", "workers: a"}},
		"ramp":          {func(l *load.Load) { l.Kind, l.Rate = load.Ramp, 0 }, []string{"set one of the two"}},
		"burst":         {func(l *load.Load) { l.Kind, l.Rate, l.Every = load.Burst, 0, -1 }, []string{"burst 0", "every -1ns"}},
		"replay":        {func(l *load.Load) { l.Kind, l.Rate = load.Replay, 0 }, []string{"at: want at least one"}},
		"replay order":  {func(l *load.Load) { *l = load.Load{Kind: load.Replay, At: []time.Duration{2, 1}} }, []string{"at[1] 1ns"}},
		"replay both":   {func(l *load.Load) { *l = load.Load{Kind: load.Replay, At: []time.Duration{2}, File: "x"} }, []string{"at and file"}},
		"closed":        {func(l *load.Load) { *l = load.Load{Kind: load.Closed, Think: dist.Constant(-1)} }, []string{"workers 0", "think: dist: mean"}},
		"times":         {func(l *load.Load) { l.Start, l.For, l.Timeout = -1, -1, -1 }, []string{"start -1ns", "for -1ns", "timeout -1ns"}},
	} {
		l := valid()
		c.change(&l)
		err := l.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", name, err, want)
			}
		}
	}
	if err := valid().Validate(); err != nil {
		t.Error(err)
	}
}

func TestJSON(t *testing.T) {
	in := `{"client":"web","service":"cart","header":{"Idempotency-Key":"auto"},"kind":"closed","workers":3,"think":"1s","start":"2s"}`
	want := load.Load{
		Client: "web", Service: "cart", Header: map[string]string{"Idempotency-Key": load.AutoKey},
		Kind: load.Closed, Workers: 3, Think: dist.Constant(time.Second), Start: 2 * time.Second,
	}
	var got load.Load
	if err := json.Unmarshal([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) || got.Validate() != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if out, err := json.Marshal(got); err != nil || string(out) != in {
		t.Errorf("written: got %s, %v", out, err)
	}
	for _, bad := range []string{`{"rte":1}`, `{"start":1}`, `{"at":[1]}`, `{"think":{"men":"1s"}}`, `"x"`} {
		l := valid()
		if err := json.Unmarshal([]byte(bad), &l); err == nil || !reflect.DeepEqual(l, valid()) {
			t.Errorf("%s: got %+v, %v", bad, l, err)
		}
	}
}

func TestReadArrivals(t *testing.T) {
	want := []time.Duration{0, 12 * ms, time.Second}
	for _, in := range []string{
		`["1s","0s","12ms"]`,
		"# x\n1s\n\n0s\r\n12ms",
		"2026-03-14T09:26:54Z GET /\n2026-03-14T09:26:53Z,GET /x\n2026-03-14T10:26:53.012+01:00",
	} {
		if got, err := load.ReadArrivals(strings.NewReader(in)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"": "at least one", "1s\nx": `line 2: "x"`, "1s\n2026-03-14T09:26:54Z": "want all alike", "-1s": "negative", "[1]": "duration",
	} {
		if got, err := load.ReadArrivals(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", in, got, err, want)
		}
	}
}

func TestRead(t *testing.T) {
	files := fstest.MapFS{"at": {Data: []byte("1s")}, "think": {Data: []byte("5ms")}}
	l := load.Load{Kind: load.Replay, File: "at", Think: dist.Dist{Kind: dist.KindQuantiles, File: "think"}}
	if got, err := l.Read(files); err != nil || got.File != "" || len(got.At) != 1 || got.Think.At(0) != 5*ms {
		t.Errorf("got %+v, %v", got, err)
	}
	l.File = "none"
	if _, err := l.Read(files); err == nil || !strings.Contains(err.Error(), `file "none"`) {
		t.Errorf("got %v", err)
	}
}

// TestProperties: arrivals increase strictly, lie within the stream and are the
// same again.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 1e8)
		span := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, name))
		}
		l := load.Load{
			Kind: rapid.SampledFrom([]string{"", load.Constant, load.Ramp, load.Burst, load.Replay}).Draw(t, "kind"),
			Rate: rate.Draw(t, "rate"), To: rate.Draw(t, "to"), Burst: rapid.IntRange(1, 100).Draw(t, "burst"),
			Every: span("every"), Start: span("start"), For: span("for"),
		}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			l.At = append(l.At, span("at")/1e9)
		}
		slices.Sort(l.At)
		end, seed := span("end"), rapid.Uint64().Draw(t, "seed")
		var all []time.Duration
		for at := range l.Arrivals(seed, end) {
			if at < l.Start || at >= l.Until(end) || len(all) > 0 && at <= all[len(all)-1] {
				t.Fatalf("%+v: %v after %v", l, at, all)
			}
			if all = append(all, at); len(all) == 500 {
				break
			}
		}
		i := 0
		for at := range l.Arrivals(seed, end) {
			if i == len(all) {
				break
			}
			if at != all[i] {
				t.Fatalf("%+v: arrival %d is %v, then %v", l, i, all[i], at)
			}
			i++
		}
	})
}

func FuzzReadArrivals(f *testing.F) {
	for _, s := range []string{"1s\n2s", `["1s"]`, "2026-03-14T09:26:54Z x", "", "[", "0001-01-01T00:00:00Z\n9999-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := load.ReadArrivals(strings.NewReader(s))
		if err == nil && (len(at) == 0 || at[0] < 0 || !slices.IsSorted(at)) {
			t.Fatalf("%q: got %v", s, at)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"client":"a","service":"b","rate":5}`, `{"kind":"replay","at":["1s"]}`, `{"think":"1s"}`, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var l, back load.Load
		if json.Unmarshal([]byte(s), &l) != nil || l.Validate() != nil {
			return
		}
		b, err := json.Marshal(l)
		if err != nil || json.Unmarshal(b, &back) != nil || back.Validate() != nil {
			t.Fatalf("%s is written as %s, %v", s, b, err)
		}
		n := 0
		for at := range l.Arrivals(1, time.Second) {
			if at < l.Start || at >= time.Second {
				t.Fatalf("%s: arrival at %v", s, at)
			}
			if n++; n == 100 {
				break
			}
		}
	})
}
