package breaker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/breaker"
)

func TestSettingsJSON(t *testing.T) {
	in := `{"window":"30s","bucket":"500ms","failure_ratio":0.25,"min_calls":5,"consecutive":-1,"slow_call":"2s",` +
		`"hang_after":"3s","open_for":"2s","max_open_for":"1m0s","jitter":0.1,"probes":1,"lease":"1s","ramp":"-1ns","shadow":true}`
	want := breaker.Settings{
		Window: 30 * time.Second, Bucket: 500 * time.Millisecond, FailureRatio: 0.25, MinCalls: 5, Consecutive: -1,
		SlowCall: 2 * time.Second, HangAfter: 3 * time.Second, OpenFor: 2 * time.Second, MaxOpenFor: time.Minute,
		Jitter: 0.1, Probes: 1, Lease: time.Second, Ramp: -1, Shadow: true,
	}
	var got breaker.Settings
	if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	out, err := json.Marshal(got)
	if err != nil || string(out) != in {
		t.Errorf("written as %s, %v; want %s", out, err, in)
	}
	if out, err := json.Marshal(breaker.Settings{}); err != nil || string(out) != "{}" {
		t.Errorf("zero settings written as %s, %v; want {}", out, err)
	}
}

func TestSettingsJSONKeepsWhatIsNotNamed(t *testing.T) {
	got := breaker.Settings{Probes: 7, Window: time.Minute}
	if err := json.Unmarshal([]byte(`{"window":"20s"}`), &got); err != nil {
		t.Fatal(err)
	}
	if want := (breaker.Settings{Probes: 7, Window: 20 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSettingsJSONErrors(t *testing.T) {
	for in, want := range map[string]string{
		`{"window":10}`:        "want a string",
		`{"windows":"10s"}`:    "windows",
		`{"window":"10"}`:      "want a string",
		`{"probes":"3"}`:       "probes",
		`{"failure_ratio":[]}`: "failure_ratio",
		`[]`:                   "breaker: settings",
	} {
		got := breaker.Settings{Probes: 2}
		err := json.Unmarshal([]byte(in), &got)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", in, err, want)
		}
		if got != (breaker.Settings{Probes: 2}) {
			t.Errorf("%s: settings changed to %+v by an error", in, got)
		}
	}
}

func TestSettingsValidate(t *testing.T) {
	for name, c := range map[string]struct {
		settings breaker.Settings
		wants    []string // one for each error; none means valid
	}{
		"zero":             {breaker.Settings{}, nil},
		"long open alone":  {breaker.Settings{OpenFor: time.Minute}, nil},
		"short window":     {breaker.Settings{Window: time.Millisecond}, nil},
		"negative":         {breaker.Settings{Window: -1, Lease: -1, SlowCall: -1}, []string{"window", "slow_call", "lease"}},
		"bucket too wide":  {breaker.Settings{Bucket: 6 * time.Second}, []string{"bucket"}},
		"bucket too thin":  {breaker.Settings{Bucket: time.Millisecond}, []string{"bucket"}},
		"most below first": {breaker.Settings{OpenFor: time.Minute, MaxOpenFor: time.Second}, []string{"max_open_for"}},
		"ratio":            {breaker.Settings{FailureRatio: 1.01}, []string{"failure_ratio"}},
		"jitter":           {breaker.Settings{Jitter: 1}, []string{"jitter"}},
		"counts":           {breaker.Settings{MinCalls: -1, Probes: -1}, []string{"min_calls", "probes"}},
		"too long":         {breaker.Settings{Ramp: 25 * time.Hour, HangAfter: 25 * time.Hour}, []string{"hang_after", "ramp"}},
		"too short":        {breaker.Settings{OpenFor: 1, MaxOpenFor: 1}, []string{"open_for", "max_open_for"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.settings.Validate()
			if len(c.wants) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			errs := parts(err)
			if len(errs) != len(c.wants) {
				t.Fatalf("got %v, want %d errors", err, len(c.wants))
			}
			for i, e := range errs {
				if !strings.Contains(e.Error(), c.wants[i]) {
					t.Errorf("error %q, want one about %s", e, c.wants[i])
				}
			}
		})
	}
}

// Whatever JSON says, the settings are refused or make a breaker that works, and
// survive being written.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"window":"30s","bucket":"500ms","consecutive":-1,"ramp":"-1s"}`))
	f.Add([]byte(`{"window":"1ms","open_for":"1ms","jitter":0.99,"lease":"24h","probes":1000}`))
	f.Add([]byte(`{"failure_ratio":1e-300,"min_calls":9223372036854775807,"hang_after":"1ms"}`))
	f.Add([]byte(`{"window":"-1s"} {}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s breaker.Settings
		if json.Unmarshal(data, &s) != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back breaker.Settings
		if err := json.Unmarshal(out, &back); err != nil || back != s {
			t.Fatalf("%+v written as %s reads as %+v, %v", s, out, back, err)
		}
		b, err := breaker.New("stock", breaker.WithSettings(s))
		if (err == nil) != (s.Validate() == nil) {
			t.Fatalf("New: %v, Validate: %v", err, s.Validate())
		}
		if err != nil {
			return
		}
		if err := call(t, b, nil); err != nil {
			t.Errorf("first call: %v", err)
		}
		for range 12 {
			_ = call(t, b, errDown)
		}
		b.Counts()
	})
}
