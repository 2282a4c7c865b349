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
