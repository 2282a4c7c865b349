package retry_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

func TestPolicyDefaults(t *testing.T) {
	var p retry.Policy
	if p.MaxAttempts() != 3 || p.BodyCap() != 64<<10 || p.RetryAfterCap() != 30*time.Second {
		t.Errorf("attempts %d, body %d, retry after %v", p.MaxAttempts(), p.BodyCap(), p.RetryAfterCap())
	}
	if err := p.Validate(); err != nil {
		t.Errorf("zero policy: %v", err)
	}
	d := p.WithDefaults()
	want := retry.Policy{
		Attempts: 3, Base: 25 * time.Millisecond, Cap: 250 * time.Millisecond, MaxRetryAfter: 30 * time.Second,
		Statuses: []int{429, 502, 503, 504}, BodyBytes: 64 << 10,
		Budget: retry.BudgetPolicy{Cap: 10, PerSuccess: 0.1, Refill: 1, Window: 10 * time.Second},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("defaults %+v, want %+v", d, want)
	}
	for _, p := range []retry.Policy{d, {Base: time.Second}, {Cap: time.Millisecond}} {
		if err := p.WithDefaults().Validate(); err != nil {
			t.Errorf("%+v with defaults: %v", p, err)
		}
	}
	if n := (&retry.Policy{BodyBytes: -1}).BodyCap(); n != 0 {
		t.Errorf("BodyBytes -1 keeps %d bytes", n)
	}
}

func TestPolicyStatus(t *testing.T) {
	for _, p := range []retry.Policy{{}, retry.Policy{}.WithDefaults()} {
		for status, want := range map[int]bool{200: false, 404: false, 429: true, 500: false, 501: false, 502: true, 503: true, 504: true} {
			if got := p.Status(status); got != want {
				t.Errorf("%d: %v, want %v", status, got, want)
			}
		}
	}
	only := retry.Policy{Statuses: []int{500}}
	if !only.Status(500) || only.Status(503) {
		t.Error("a list of its own is not taken as it is")
	}
	if none := (retry.Policy{Statuses: []int{}}); none.Status(503) {
		t.Error("an empty list retries 503")
	}
}

func TestPolicyJSON(t *testing.T) {
	const doc = `{"attempts":2,"base":"10ms","cap":"1s","max_retry_after":"5s","statuses":[503],"body_bytes":-1,"budget":{"cap":5,"per_success":0.2,"refill":2,"window":"20s"}}`
	want := retry.Policy{
		Attempts: 2, Base: 10 * time.Millisecond, Cap: time.Second, MaxRetryAfter: 5 * time.Second, Statuses: []int{503}, BodyBytes: -1,
		Budget: retry.BudgetPolicy{Cap: 5, PerSuccess: 0.2, Refill: 2, Window: 20 * time.Second},
	}
	var p retry.Policy
	if err := json.Unmarshal([]byte(doc), &p); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("read %+v, %v; want %+v", p, err, want)
	}
	if out, err := json.Marshal(p); err != nil || string(out) != doc {
		t.Errorf("written as %s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"statuses":[],"budget":{"cap":7}}`), &p); err != nil {
		t.Fatal(err)
	}
	if p.Attempts != 2 || p.Statuses == nil || len(p.Statuses) != 0 || p.Budget.Cap != 7 || p.Budget.Refill != 2 {
		t.Errorf("laid over: %+v", p)
	}
	for _, bad := range []string{`{"atempts":2}`, `{"base":25}`, `{"budget":{"window":1}}`, `{"budget":{"cpa":1}}`, `"x"`} {
		got := want
		if err := json.Unmarshal([]byte(bad), &got); err == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v", bad, got, err)
		}
	}
	if out, err := json.Marshal(retry.Policy{}); err != nil || string(out) != `{}` {
		t.Errorf("the zero policy is written as %s, %v", out, err)
	}
}

func TestPolicyValidate(t *testing.T) {
	err := retry.Policy{
		Attempts: 21, Base: -1, Cap: -1, MaxRetryAfter: time.Minute, Statuses: []int{200},
		Budget: retry.BudgetPolicy{Cap: -1, PerSuccess: -1, Refill: 1e9, Window: -1},
	}.Validate()
	for _, want := range []string{"attempts 21", "base -1ns", "cap -1ns", "max_retry_after", "200", "budget cap", "per_success", "refill", "window"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if (retry.Policy{Base: 2, Cap: 1}).Validate() == nil {
		t.Error("a cap below the base is valid")
	}
}
