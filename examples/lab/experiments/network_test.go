package experiments_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/examples/lab/experiments"
)

// outcome is what an experiment came to in its short form with seed 1.
type outcome struct {
	t    *testing.T
	rows []bench.Row
}

// try runs an experiment with some policies, or all.
func try(t *testing.T, e bench.Experiment, policies ...string) outcome {
	t.Helper()
	if policies == nil {
		policies = e.Policies
	}
	rows, err := e.Run(t.Context(), bench.Run{Seed: 1, Quick: true, Policies: policies})
	if err != nil {
		t.Fatalf("%s: %v", e.Name, err)
	}
	return outcome{t, rows}
}

// figure returns one number of one row, by its name in JSON.
func (o outcome) figure(policy, variant, name string) float64 {
	o.t.Helper()
	for _, r := range o.rows {
		if r.Policy != policy || r.Variant != variant {
			continue
		}
		b, err := json.Marshal(r)
		if err != nil {
			o.t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(b, &fields); err != nil {
			o.t.Fatal(err)
		}
		v, ok := fields[name].(float64)
		if !ok {
			o.t.Fatalf("%s %s has no %s: %s", policy, variant, name, b)
		}
		return v
	}
	o.t.Fatalf("no row %s %s", policy, variant)
	return 0
}

// between fails the test unless lo <= figure <= hi.
func (o outcome) between(policy, variant, name string, lo, hi float64) {
	o.t.Helper()
	if v := o.figure(policy, variant, name); v < lo || v > hi {
		o.t.Errorf("%s %s: %s is %v, want %v to %v", policy, variant, name, v, lo, hi)
	}
}

func (o outcome) String() string {
	b, err := json.Marshal(o.rows)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b)
}

// The same seed gives the same rows.
func TestNetworkExperimentsRepeat(t *testing.T) {
	if experiments.RaceEnabled {
		t.Skip("the tests of each experiment run it once; that it repeats is no matter of races")
	}
	for _, tc := range []struct {
		experiment bench.Experiment
		policies   []string
	}{
		{experiments.RetryStorm(), []string{"three-tries-a-hop", "gabion"}},
		{experiments.RollingRestart(), nil},
		{experiments.ZoneOutage(), nil},
		{experiments.HalfOpen(), nil},
	} {
		t.Run(tc.experiment.Name, func(t *testing.T) {
			first := try(t, tc.experiment, tc.policies...).String()
			if again := try(t, tc.experiment, tc.policies...).String(); again != first {
				t.Errorf("got\n%s\nand with the same seed\n%s", first, again)
			}
		})
	}
}

// A run that has begun comes to its end soon after its context: if it did not,
// this would take minutes.
func TestNetworkExperimentsEnd(t *testing.T) {
	for _, e := range []bench.Experiment{
		experiments.RetryStorm(), experiments.RollingRestart(), experiments.ZoneOutage(), experiments.HalfOpen(), experiments.Tail(),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		begun := func(string, ...any) { cancel() }
		if _, err := e.Run(ctx, bench.Run{Seed: 1, Policies: e.Policies, Progress: begun}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", e.Name, err, context.Canceled)
		}
	}
}
