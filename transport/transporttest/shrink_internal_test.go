package transporttest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// What ddmin leaves is the culprits in their order, however many there are and
// wherever they stand.
func TestDDMin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := make([]int, rapid.IntRange(1, 40).Draw(t, "length"))
		for i := range all {
			all[i] = i
		}
		culprits := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, min(5, len(all)), rapid.ID).Draw(t, "culprits")
		slices.Sort(culprits)
		runs := 0
		got := ddmin(all, func(some []int) bool {
			runs++
			return !slices.ContainsFunc(culprits, func(c int) bool { return !slices.Contains(some, c) })
		})
		if !slices.Equal(got, culprits) {
			t.Errorf("got %v, want %v", got, culprits)
		}
		if len(culprits) == 1 && runs > 2*7 {
			t.Errorf("%d runs for one culprit of %d, want a binary search", runs, len(all))
		}
	})
}

// What fails by itself needs nothing, and nothing can be left out of nothing.
func TestDDMinOfNothing(t *testing.T) {
	if got := ddmin([]int{1, 2, 3}, func([]int) bool { return true }); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	if got := ddmin(nil, func([]int) bool { panic("nothing to try") }); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}

func TestShrinkerStops(t *testing.T) {
	s := &shrinker{}
	for range 2 * shrinkRuns {
		s.same(func() error { return nil })
	}
	if s.runs != shrinkRuns {
		t.Errorf("%d runs, want %d", s.runs, shrinkRuns)
	}
	late := &shrinker{until: time.Now().Add(-time.Second)}
	if late.same(func() error { panic("not to be run") }); late.runs != 0 {
		t.Errorf("%d runs after the end", late.runs)
	}
}

func TestGoLiteral(t *testing.T) {
	s := Scenario{
		Name:     "a \"name\"",
		Services: []ServiceSpec{{Name: "cart", HTTP2: true, Zones: []string{"a", "b"}, Behaviour: Behaviour{Failures: 0.5, Calls: []string{"x"}}}},
		Loads: []load.Load{{
			Client: "web", Header: map[string]string{"B": "2", "A": "1"}, At: []time.Duration{0, 1500 * time.Microsecond},
			Think: dist.FromQuantiles(dist.Quantile{Q: 1, D: time.Hour}), For: 90 * time.Second, Timeout: 7,
		}},
	}
	const want = `transporttest.Scenario{
	Name: "a \"name\"",
	Services: []transporttest.ServiceSpec{
		{Name: "cart", Zones: []string{"a", "b"}, HTTP2: true, Behaviour: transporttest.Behaviour{Calls: []string{"x"}, Failures: 0.5}},
	},
	Loads: []load.Load{
		{Client: "web", Header: map[string]string{"A": "1", "B": "2"}, At: []time.Duration{0, 1500 * time.Microsecond}, Think: dist.Dist{
			Kind: "quantiles",
			Quantiles: []dist.Quantile{
				{Q: 1, D: time.Hour},
			},
		}, For: 90 * time.Second, Timeout: 7},
	},
}`
	if got := goLiteral(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What fails also without the fault is not what was looked for.
func TestShrinkKeepsToTheFailure(t *testing.T) {
	culprit := Fault{Kind: Crash, On: "a", For: time.Second}
	all := Scenario{
		Services: []ServiceSpec{{Name: "a", Replicas: 3}, {Name: "b"}},
		Loads:    []load.Load{{Client: "web", Service: "a", Rate: 1, For: 4 * time.Second}},
		Faults:   []Fault{{Kind: Pause, On: "b"}, culprit, {Kind: Pause, On: "a"}},
	}
	s := (&shrinker{}).scenario(all, func(s Scenario) error {
		tooShort := len(s.Loads) == 0 || s.Loads[0].For < time.Second
		if tooShort || slices.ContainsFunc(s.Faults, func(f Fault) bool { return f.Kind == Crash }) {
			return errors.New("fails")
		}
		return nil
	})
	if len(s.Faults) != 1 || s.Faults[0].Kind != Crash || s.Faults[0].For >= 2*leastFault {
		t.Errorf("faults %v, want a short crash", s.Faults)
	}
	if len(s.Loads) != 1 || s.Loads[0].For != time.Second {
		t.Errorf("loads %+v, want one of 1s", s.Loads)
	}
	if len(s.Services) != 1 || s.Services[0].Replicas != 1 {
		t.Errorf("services %+v, want one with one replica", s.Services)
	}
	if len(all.Faults) != 3 || all.Faults[1].For != time.Second || all.Loads[0].For != 4*time.Second || all.Services[0].Replicas != 3 {
		t.Errorf("the scenario itself was changed: %+v", all)
	}
}
