package transporttest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// A shop of one service stays up whatever happens to two of its three replicas.
func TestSeeds(t *testing.T) {
	space := transporttest.FaultSpace{
		On:    []string{"pricing-1", "pricing-2"},
		Links: [][2]string{{"web", "pricing-1"}, {"web", "pricing-2"}},
		Kinds: []transporttest.Kind{transporttest.Crash, transporttest.Panic, transporttest.Refuse},
		Until: 4 * time.Second,
	}
	faults := func(seed uint64) []transporttest.Fault { return transporttest.RandomFaults(seed, 3, space) }
	transporttest.Seeds(t, 20, faults, func(tb testing.TB, n *transporttest.Network, faults []transporttest.Fault) {
		n.Serve("pricing", 3, hello)
		n.Host("web")
		n.Fault(faults...)
		r := n.Run(load.Load{Client: "web", Service: "pricing", Rate: 20, For: 5 * time.Second})
		if got, want := r.Success, 0.9; got < want {
			tb.Errorf("success %v, want at least %v", got, want)
		}
	})
}

func TestRandomFaults(t *testing.T) {
	space := transporttest.FaultSpace{
		On: []string{"a", "a-1"}, Links: [][2]string{{"web", "a"}, {"a", "b"}}, Registry: []string{"a"},
		From: time.Second, Until: 3 * time.Second, Shortest: 50 * time.Millisecond, Longest: time.Second,
	}
	seen := map[transporttest.Kind]int{}
	for seed := range uint64(300) {
		faults := transporttest.RandomFaults(seed, 10, space)
		if len(faults) != 10 {
			t.Fatalf("seed %d: %d faults, want 10", seed, len(faults))
		}
		if !slices.EqualFunc(faults, transporttest.RandomFaults(seed, 10, space), equalFaults) {
			t.Fatalf("seed %d: other faults the second time", seed)
		}
		for _, f := range faults {
			seen[f.Kind]++
			if err := f.Validate(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if f.At < space.From || f.At >= space.Until || f.For < space.Shortest || f.For > space.Longest {
				t.Errorf("seed %d: %v is out of bounds", seed, f)
			}
		}
	}
	if len(seen) != 22 {
		t.Errorf("%d kinds, want all 22: %v", len(seen), seen)
	}
}

func TestRandomFaultsAtOnce(t *testing.T) {
	space := transporttest.FaultSpace{On: []string{"a"}, Until: 2 * time.Second, AtOnce: 1}
	for seed := range uint64(50) {
		faults := transporttest.RandomFaults(seed, 20, space)
		for i, f := range faults[1:] {
			if f.At < faults[i].At+faults[i].For {
				t.Errorf("seed %d: %v while %v", seed, f, faults[i])
			}
		}
	}
}

func TestRandomFaultsOfNobody(t *testing.T) {
	for name, space := range map[string]transporttest.FaultSpace{
		"nobody":         {},
		"no link":        {On: []string{"a"}, Kinds: []transporttest.Kind{transporttest.Latency}},
		"unknown kind":   {On: []string{"a"}, Kinds: []transporttest.Kind{"gremlin"}},
		"times turned":   {On: []string{"a"}, From: 2 * time.Second, Until: time.Second},
		"lengths turned": {On: []string{"a"}, Shortest: 2 * time.Second, Longest: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			transporttest.RandomFaults(1, 1, space)
		})
	}
}

func equalFaults(a, b transporttest.Fault) bool { return a.String() == b.String() }
