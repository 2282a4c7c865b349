package ratelimit_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/ratelimit"
)

func TestPolicy(t *testing.T) {
	var p ratelimit.Policy
	const text = `{"name":"orders","requests":100,"window":"1m0s","burst":20,"per":"all","keys":5000}`
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	want := ratelimit.Policy{Name: "orders", Requests: 100, Window: time.Minute, Burst: 20, Per: ratelimit.PerAll, Keys: 5000}
	if p != want || p.Validate() != nil {
		t.Errorf("read %+v, want %+v; %v", p, want, p.Validate())
	}
	if b, err := json.Marshal(p); err != nil || string(b) != text {
		t.Errorf("wrote %s, %v", b, err)
	}
	for _, bad := range []string{`{"request":1}`, `{"window":60}`, `[]`, `{"requests":"1"}`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil || p != want {
			t.Errorf("%s is read as %+v, %v", bad, p, err)
		}
	}
	if got := (ratelimit.Policy{Requests: 7}).WithDefaults(); got != (ratelimit.Policy{Name: "default", Requests: 7, Window: time.Second, Burst: 7, Per: ratelimit.PerClient, Keys: 131072}) {
		t.Errorf("defaults %+v", got)
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		p    ratelimit.Policy
		want string // nothing if it is valid
	}{
		"least":               {ratelimit.Policy{Requests: 1}, ""},
		"most":                {ratelimit.Policy{Requests: 1_000_000}, ""},
		"yearly":              {ratelimit.Policy{Requests: 1, Window: 365 * 24 * time.Hour}, ""},
		"zero":                {ratelimit.Policy{}, "requests 0: must be positive"},
		"negative":            {ratelimit.Policy{Requests: -1}, "requests -1: must be positive"},
		"too many":            {ratelimit.Policy{Requests: 1_000_001}, "requests 1000001 in 1s: must be at most one in 1µs"},
		"far too many":        {ratelimit.Policy{Requests: 1 << 62}, "must be at most one in 1µs"},
		"short window":        {ratelimit.Policy{Requests: 1, Window: 500 * time.Millisecond}, "window 500ms: must be whole seconds"},
		"broken window":       {ratelimit.Policy{Requests: 1, Window: 1500 * time.Millisecond}, "window 1.5s: must be whole seconds"},
		"negative window":     {ratelimit.Policy{Requests: 1, Window: -time.Second}, "window -1s"},
		"negative burst":      {ratelimit.Policy{Requests: 1, Burst: -1}, "burst -1: must be positive"},
		"burst for ever":      {ratelimit.Policy{Requests: 1, Burst: 1 << 40}, "burst 1099511627776"},
		"name with line feed": {ratelimit.Policy{Requests: 1, Name: "a\r\nSet-Cookie: b"}, "must be printable ASCII"},
		"name not in ASCII":   {ratelimit.Policy{Requests: 1, Name: "täglich"}, "must be printable ASCII"},
		"long name":           {ratelimit.Policy{Requests: 1, Name: strings.Repeat("x", 65)}, "at most 64 bytes"},
		"per what":            {ratelimit.Policy{Requests: 1, Per: "user"}, `per "user": must be "client" or "all"`},
		"keys":                {ratelimit.Policy{Requests: 1, Keys: -1}, "keys -1"},
		"many keys":           {ratelimit.Policy{Requests: 1, Keys: 1 << 30}, "keys 1073741824"},
		"several":             {ratelimit.Policy{Window: 1, Per: "user"}, "\n"},
	} {
		err := tc.p.Validate()
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if l, err := ratelimit.New(tc.p); err == nil || l != nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

// Whatever JSON says, the policy survives being written, and it is refused or
// grants no more than Burst at once.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"name":"orders","requests":100,"window":"1m0s","burst":20,"per":"all","keys":5000}`))
	f.Add([]byte(`{"requests":1000000}`))
	f.Add([]byte(`{"requests":1,"window":"8784h","burst":1}`))
	f.Add([]byte(`{"requests":9223372036854775807,"burst":9223372036854775807,"keys":-1}`))
	f.Add([]byte(`{"name":"\n\"é","window":"1.5s","per":"nobody"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, back ratelimit.Policy
		if json.Unmarshal(data, &p) != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil || back != p {
			t.Fatalf("%+v written as %s reads as %+v, %v", p, out, back, err)
		}
		if p.Validate() != nil {
			if l, err := ratelimit.New(p); err == nil {
				t.Fatalf("%+v is not valid, but makes %+v", p, l.Policy())
			}
			return
		}
		p.Keys = 1 // many are nothing but much memory
		l, err := ratelimit.New(p)
		if err != nil {
			t.Fatalf("valid, but: %v", err)
		}
		burst := l.Policy().Burst
		if d := l.Take("a", burst); !d.Allowed || d.Remaining < 0 || d.Remaining > burst {
			t.Errorf("%+v: of %d granted at once: %+v", p, burst, d)
		}
		if burst < math.MaxInt {
			if d := l.Take("a", burst+1); d.Allowed || d.RetryAfter < 0 {
				t.Errorf("%+v: more than %d granted at once: %+v", p, burst, d)
			}
		}
	})
}
