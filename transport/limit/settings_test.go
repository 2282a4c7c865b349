package limit_test

import (
	"encoding/json"
	"testing"

	"github.com/gabion-go/gabion/transport/limit"
)

// Whatever JSON says, the settings survive being written, and they are refused or
// make a limiter that keeps to them.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"initial":5,"min":2,"max":50,"queue":-1,"queue_wait":"250ms","shadow":true}`))
	f.Add([]byte(`{"min":2000}`))
	f.Add([]byte(`{"initial":500,"max":10}`))
	f.Add([]byte(`{"max":9223372036854775807,"queue":9223372036854775807,"queue_wait":"2562047h"}`))
	f.Add([]byte(`{"initial":-1,"min":-1,"max":-1,"queue_wait":"-1s"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, back limit.Settings
		if json.Unmarshal(data, &s) != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil || back != s {
			t.Fatalf("%+v written as %s reads as %+v, %v", s, out, back, err)
		}
		a, err := limit.NewAdaptive(s)
		if (err == nil) != (s.Validate() == nil) {
			t.Fatalf("NewAdaptive: %v, Validate: %v", err, s.Validate())
		}
		if err != nil {
			return
		}
		d := s.WithDefaults()
		if n := a.Limit(); n < d.Min || n > d.Max || n < 1 {
			t.Errorf("%+v: begins with a limit of %d", s, n)
		}
		ticket, err := a.Acquire(t.Context(), limit.Critical)
		if err != nil {
			t.Fatalf("%+v: the first request is refused: %v", s, err)
		}
		ticket.Release(limit.Succeeded)
		if n := a.InFlight(); n != 0 {
			t.Errorf("%d in flight in the end", n)
		}
	})
}
