package duration_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

func TestJSON(t *testing.T) {
	for in, want := range map[string]time.Duration{
		`"250ms"`:  250 * time.Millisecond,
		`"1h30m"`:  90 * time.Minute,
		`"0s"`:     0,
		`"-1.5s"`:  -1500 * time.Millisecond,
		`"1m0.5s"`: time.Minute + 500*time.Millisecond,
	} {
		var d duration.Duration
		if err := json.Unmarshal([]byte(in), &d); err != nil || time.Duration(d) != want {
			t.Errorf("read %s: got %v, %v; want %v", in, time.Duration(d), err, want)
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back duration.Duration
		if err := json.Unmarshal(out, &back); err != nil || back != d {
			t.Errorf("%s written as %s reads as %v, %v", in, out, time.Duration(back), err)
		}
	}
	for _, in := range []string{`5`, `"5"`, `"abc"`, `null1`, `{}`, `""`, `true`} {
		var d duration.Duration
		if err := json.Unmarshal([]byte(in), &d); err == nil {
			t.Errorf("read %s: got %v, want an error", in, time.Duration(d))
		}
	}
}
