package balance_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

func TestPolicyJSON(t *testing.T) {
	const doc = `{"policy":"round-robin","slow_start":"10s","ejection":{` +
		`"consecutive":3,"interval":"5s","min_calls":10,"failure_percent":60,"gap":15,"latency_factor":2.5,` +
		`"base":"1s","max":"1m0s","max_percent":10,"panic_percent":20}}`
	want := balance.Policy{Name: balance.RoundRobin, SlowStart: 10 * time.Second, Ejection: balance.Ejection{
		Consecutive: 3, Interval: 5 * time.Second, MinCalls: 10, FailurePercent: 60, Gap: 15, LatencyFactor: 2.5,
		Base: time.Second, Max: time.Minute, MaxPercent: 10, PanicPercent: 20,
	}}
	var p balance.Policy
	if err := json.Unmarshal([]byte(doc), &p); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("read %+v, %v; want %+v", p, err, want)
	}
	out, err := json.Marshal(p)
	if err != nil || string(out) != doc {
		t.Errorf("written as %s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"ejection":{"base":"2s"}}`), &p); err != nil {
		t.Fatal(err)
	}
	want.Ejection.Base = 2 * time.Second
	if !reflect.DeepEqual(p, want) {
		t.Errorf("laid over: %+v, want %+v", p, want)
	}
	for _, bad := range []string{`{"polcy":""}`, `{"ejection":{"base":5}}`, `{"ejection":{"bsae":"5s"}}`, `7`} {
		got := want
		if err := json.Unmarshal([]byte(bad), &got); err == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v", bad, got, err)
		}
	}
	if out, err := json.Marshal(balance.Policy{}); err != nil || string(out) != `{}` {
		t.Errorf("the zero policy is written as %s, %v", out, err)
	}
}

func TestPolicyValidate(t *testing.T) {
	if err := (balance.Policy{}).Validate(); err != nil {
		t.Errorf("zero policy: %v", err)
	}
	if err := (balance.Policy{}).WithDefaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if err := (balance.Policy{Ejection: balance.Ejection{Max: time.Second}}).WithDefaults().Validate(); err != nil {
		t.Errorf("defaults with a short max: %v", err)
	}
	err := balance.Policy{Name: "best", Ejection: balance.Ejection{
		Consecutive: -1, Interval: -1, MinCalls: -1, FailurePercent: 101, Gap: -1, LatencyFactor: 1,
		Base: -1, Max: -1, MaxPercent: 101, PanicPercent: -1,
	}}.Validate()
	for _, want := range []string{`"best"`, "consecutive", "interval", "min_calls", "failure_percent", "gap",
		"latency_factor", "base", "max -1ns", "max_percent", "panic_percent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if err := (balance.Policy{Ejection: balance.Ejection{Base: 2, Max: 1}}).Validate(); err == nil {
		t.Error("max below base is valid")
	}
	if _, err := balance.New(balance.Policy{Name: "x"}); err == nil {
		t.Error("New takes an unknown policy")
	}
}

func FuzzPolicyJSON(f *testing.F) {
	f.Add([]byte(`{"policy":"random","ejection":{"base":"1s"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var p, back balance.Policy
		if json.Unmarshal(doc, &p) != nil {
			return
		}
		_ = p.Validate()
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("%+v is written as %s and read as %+v, %v", p, out, back, err)
		}
	})
}
