package transport_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

func TestPolicyJSON(t *testing.T) {
	p := transport.Policy{
		Timeout: 800 * time.Millisecond, AttemptTimeout: 300 * time.Millisecond, ResponseBytes: 1 << 20,
		Retry: retry.Policy{Attempts: 2}, Breaker: breaker.Settings{Consecutive: 5}, Limit: limit.Policy{MaxInflight: 10},
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"timeout":"800ms"`) {
		t.Errorf("written as %s, want durations with their unit", data)
	}
	var back transport.Policy
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("read back %+v %v, want %+v", back, err, p)
	}
	if err := json.Unmarshal([]byte(`{"timeout":"1s"}`), &back); err != nil || back.Timeout != time.Second || back.ResponseBytes != 1<<20 {
		t.Errorf("got %+v %v, want what is absent to stay", back, err)
	}
	for _, bad := range []string{`{"timeout":5}`, `{"time_out":"5s"}`, `{"retry":{"attempt":2}}`, `[]`, `{"timeout":"5"}`, `{"balance":{"policy":"best"}}`} {
		var p transport.Policy
		err := json.Unmarshal([]byte(bad), &p)
		if err == nil {
			err = p.Validate()
		}
		if err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func FuzzPolicyJSON(f *testing.F) {
	f.Add([]byte(`{"timeout":"1s","retry":{"attempts":3}}`))
	f.Add([]byte(`{"breaker":{"failure_ratio":0.5}}`))
	f.Add([]byte(`{"hedge":{"on":true,"share":0.01},"throttle":{"on":true,"k":1.5},"fallback":{"last_good":"1m","value":{"text":"x"}}}`))
	f.Add([]byte(`{"routes":{"GET /a/{b}":{"timeout":"1s","retry":{"attempts":1},"hedge":{},"fallback":{},"criticality":"sheddable"}}}`))
	f.Add([]byte(`{"routes":{"GET /a/{b}":{"coalesce":true,"collapse":{"window":"5ms","max":50,"max_in_flight":2}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p transport.Policy
		if json.Unmarshal(data, &p) != nil || p.Validate() != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q transport.Policy
		if err := json.Unmarshal(again, &q); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%s: written as %s, reads as %+v %v", data, again, q, err)
		}
	})
}

func TestPolicyWithDefaults(t *testing.T) {
	p := transport.Policy{Timeout: time.Second, Breaker: breaker.Settings{Jitter: -1}}.WithDefaults()
	if err := p.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	if again := p.WithDefaults(); !reflect.DeepEqual(again, p) {
		t.Errorf("filled in twice\n%+v, want\n%+v", again, p)
	}
	if p.Timeout != time.Second || p.AttemptTimeout != time.Second || p.Breaker.Jitter != -1 {
		t.Errorf("timeout %v, attempt timeout %v, jitter %v: what was set must hold", p.Timeout, p.AttemptTimeout, p.Breaker.Jitter)
	}
	data, err := json.Marshal(transport.Policy{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"timeout":"5s"`, `"attempts":3`, `"min_calls":20`, `"max_inflight":1024`, `"panic_percent":50`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
}
