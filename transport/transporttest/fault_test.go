package transporttest_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// oneOfEach is a valid fault of every kind.
var oneOfEach = []transporttest.Fault{
	{Kind: transporttest.Latency, From: "a", To: "b", Latency: dist.Uniform(time.Millisecond, time.Second), Probability: 0.5},
	{Kind: transporttest.Stall, To: "b", Probability: 0.01},
	{Kind: transporttest.Reset, Probability: 1},
	{Kind: transporttest.Partition, From: "a-1", To: "*", OneWay: true},
	{Kind: transporttest.BlackHole, From: "a"},
	{Kind: transporttest.Refuse, To: "b", Probability: 0.5},
	{Kind: transporttest.Drip, From: "a", To: "b", Rate: 1000},
	{Kind: transporttest.Crash, On: "a", Silent: true, At: time.Second, For: time.Minute},
	{Kind: transporttest.Restart, On: "a-1"},
	{Kind: transporttest.Pause, On: "*", For: 1500 * time.Millisecond},
	{Kind: transporttest.CPU, On: "a", Cores: 1.5, Work: dist.Exponential(time.Millisecond)},
	{Kind: transporttest.ClockJump, On: "a", Jump: -time.Hour},
	{Kind: transporttest.Slow, On: "a", Latency: dist.Constant(time.Second), Probability: 0.1},
	{Kind: transporttest.Status, On: "a", Status: 503, Probability: 0.1},
	{Kind: transporttest.Panic, On: "a", Probability: 0.1},
	{Kind: transporttest.Cut, On: "a", Bytes: 10},
	{Kind: transporttest.Queue, On: "a", Workers: 4, Backlog: -1},
	{Kind: transporttest.RegistryOutage, On: "*"},
	{Kind: transporttest.RegistryEmpty, On: "a"},
	{Kind: transporttest.RegistryStale, On: "a"},
	{Kind: transporttest.RegistryDuplicate, On: "a"},
	{Kind: transporttest.RegistryHalf, On: "a"},
}

func TestFaultRoundTrip(t *testing.T) {
	for _, f := range oneOfEach {
		if err := f.Validate(); err != nil {
			t.Errorf("%v: %v", f, err)
		}
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var got transporttest.Fault
		if err := json.Unmarshal(b, &got); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if again, _ := json.Marshal(got); string(again) != string(b) || got.String() != f.String() {
			t.Errorf("got %s, want %s", again, b)
		}
	}
}

func TestFaultJSON(t *testing.T) {
	f := transporttest.Fault{Kind: transporttest.Slow, On: "cart", At: 90 * time.Second, For: 1500 * time.Millisecond, Probability: 0.25, Latency: dist.Constant(20 * time.Millisecond)}
	want := `{"kind":"slow","on":"cart","at":"1m30s","for":"1.5s","probability":0.25,"latency":"20ms"}`
	if got, err := json.Marshal(f); err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	for text, want := range map[string]string{
		`{"kind":"slow","delay":"1s"}`:             "delay",
		`{"kind":"crash","at":5}`:                  "5",
		`{"kind":"crash","for":"soon"}`:            "soon",
		`{"kind":"crash"} {}`:                      "",
		`[]`:                                       "",
		`{"kind":"slow","latency":{"kind":"odd",}`: "",
	} {
		var f transporttest.Fault
		if err := json.Unmarshal([]byte(text), &f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestFaultValidate(t *testing.T) {
	for name, c := range map[string]struct {
		fault transporttest.Fault
		want  []string
	}{
		"unknown kind":        {transporttest.Fault{Kind: "earthquake", On: "a"}, []string{"unknown kind", "black-hole", "registry-half"}},
		"no kind":             {transporttest.Fault{On: "a"}, []string{"unknown kind"}},
		"link with on":        {transporttest.Fault{Kind: transporttest.Partition, On: "a"}, []string{"from and to"}},
		"host with from":      {transporttest.Fault{Kind: transporttest.Crash, On: "a", From: "b"}, []string{"with on"}},
		"host without on":     {transporttest.Fault{Kind: transporttest.Crash}, []string{"on is missing"}},
		"needs latency":       {transporttest.Fault{Kind: transporttest.Latency}, []string{"latency is missing"}},
		"needs probability":   {transporttest.Fault{Kind: transporttest.Reset}, []string{"probability is missing"}},
		"needs rate":          {transporttest.Fault{Kind: transporttest.Drip}, []string{"rate is missing"}},
		"needs cores, work":   {transporttest.Fault{Kind: transporttest.CPU, On: "a"}, []string{"cores is missing", "work is missing"}},
		"needs jump":          {transporttest.Fault{Kind: transporttest.ClockJump, On: "a"}, []string{"jump is missing"}},
		"needs status":        {transporttest.Fault{Kind: transporttest.Status, On: "a"}, []string{"status is missing"}},
		"needs workers":       {transporttest.Fault{Kind: transporttest.Queue, On: "a"}, []string{"workers is missing"}},
		"what does not count": {transporttest.Fault{Kind: transporttest.Pause, On: "a", Silent: true, Bytes: 1}, []string{"silent does not count", "bytes does not count"}},
		"negative times":      {transporttest.Fault{Kind: transporttest.Pause, On: "a", At: -1, For: -1}, []string{"must not be negative"}},
		"probability":         {transporttest.Fault{Kind: transporttest.Panic, On: "a", Probability: 1.1}, []string{"want 0 to 1"}},
		"probability NaN":     {transporttest.Fault{Kind: transporttest.Panic, On: "a", Probability: math.NaN()}, []string{"want 0 to 1"}},
		"status 99":           {transporttest.Fault{Kind: transporttest.Status, On: "a", Status: 99}, []string{"want 200 to 599"}},
		"negative rate":       {transporttest.Fault{Kind: transporttest.Drip, Rate: -1}, []string{"must not be negative"}},
		"cores NaN":           {transporttest.Fault{Kind: transporttest.CPU, On: "a", Cores: math.NaN(), Work: dist.Constant(1)}, []string{"cores"}},
		"cores without end":   {transporttest.Fault{Kind: transporttest.CPU, On: "a", Cores: math.Inf(1), Work: dist.Constant(1)}, []string{"cores"}},
		"bad distribution":    {transporttest.Fault{Kind: transporttest.Latency, Latency: dist.Dist{Mean: -1}}, []string{"-1ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.fault.Validate()
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

// A fault that names nobody is a mistake in the test.
func TestFaultOnNobody(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		for _, f := range []transporttest.Fault{
			{Kind: transporttest.Crash, On: "pircing"},
			{Kind: transporttest.Partition, From: "pircing"},
			{Kind: transporttest.Partition, To: "pircing"},
			{Kind: transporttest.RegistryEmpty, On: "pircing"},
			{Kind: transporttest.RegistryEmpty, On: "pricing-1"}, // it knows services
		} {
			text := fatal(t, func(n *transporttest.Network) {
				n.Serve("pricing", 1, hello)
				n.Fault(f)
			})
			if !strings.Contains(text, "there is no ") || !strings.Contains(text, "[pricing") {
				t.Errorf("%v: got %q, want it to say who is there", f, text)
			}
		}
	})
}

// FuzzFault: what can be read and is valid comes back the same, and its text
// does not panic.
func FuzzFault(f *testing.F) {
	for _, one := range oneOfEach {
		b, err := json.Marshal(one)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, again transporttest.Fault
		if json.Unmarshal(b, &one) != nil {
			return
		}
		_ = one.String()
		if one.Validate() != nil {
			return
		}
		written, err := json.Marshal(one)
		if err != nil {
			t.Fatalf("%s was read, but: %v", b, err)
		}
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("%s was written, but: %v", written, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(written) {
			t.Errorf("got %s\nwant %s", twice, written)
		}
	})
}
