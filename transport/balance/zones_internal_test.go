package balance

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The published rule (Envoy, "Zone aware routing"): with p of the callers and q
// of the upstream's endpoints in the caller's zone all calls stay for p <= q,
// else q/p of them do, and the rest goes to the other zones in proportion to
// their residual capacity, which is how much more of the endpoints than of the
// callers they have, or nothing.
func TestZoneShares(t *testing.T) {
	for _, c := range []struct {
		name          string
		have, callers []float64 // by zone, the caller's first
		want          []float64
	}{
		// The same as Envoy.
		{"alike everywhere", []float64{3, 3, 3}, []float64{1, 1, 1}, []float64{1, 0, 0}},
		{"more than needed here", []float64{4, 2}, []float64{1, 1}, []float64{1, 0}},
		{"less than needed here", []float64{1, 2, 2}, []float64{1, 1, 1}, []float64{0.6, 0.2, 0.2}},
		{"half of what is needed here", []float64{2, 2, 4}, []float64{2, 1, 1}, []float64{0.5, 0, 0.5}},
		{"residual capacities differ", []float64{1, 3, 6}, []float64{2, 1, 1}, []float64{0.2, 0.8 * 5 / 40, 0.8 * 35 / 40}},
		{"nobody else calls", []float64{2, 2, 4}, []float64{5, 0, 0}, []float64{0.25, 0.25, 0.5}},
		{"two thirds of the callers here", []float64{5, 5}, []float64{4, 2}, []float64{0.75, 0.25}},

		// Other than Envoy, which leaves zones alone unless both services have
		// the same ones. A zone of callers without endpoints does not count:
		// its callers spread evenly over all, and so take from every zone as
		// much of what it has.
		{"a zone without endpoints is not among them", []float64{2, 8}, []float64{2, 2}, []float64{0.4, 0.6}},
		{"a zone without callers", []float64{3, 3, 3}, []float64{1, 1, 0}, []float64{2.0 / 3, 0, 1.0 / 3}},
		{"the caller is not among its peers", []float64{1, 9}, []float64{0, 4}, []float64{1, 0}},
		// Not knowing its peers Envoy does not start; we take them to be even.
		{"no peers known", []float64{1, 2, 2}, []float64{0, 0, 0}, []float64{0.6, 0.2, 0.2}},
		{"no peers known, enough here", []float64{2, 2, 2}, []float64{0, 0, 0}, []float64{1, 0, 0}},
		// Envoy counts hosts; what we have is their weight.
		{"weights so large that differences are lost", []float64{1e15 + 1, 1e15 + 1, 9e15 + 9}, []float64{1, 1, 9}, []float64{1, 0, 0}},
		{"weights", []float64{10, 70, 20}, []float64{1, 1, 1}, []float64{0.3, 0.7, 0}},
	} {
		got := zoneShares(c.have, c.callers, 0)
		for i := range got {
			if !(math.Abs(got[i]-c.want[i]) <= 1e-9) { // NaN too
				t.Errorf("%s: %.3f, want %.3f", c.name, got, c.want)
				break
			}
		}
	}
}

// The callers of all zones together bring each zone its part of the load, and as
// little as possible leaves a zone.
func TestZoneSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "zones")
		draw := func(name string) (list []float64, sum float64) {
			for range n {
				v := float64(rapid.IntRange(1, 50).Draw(t, name))
				list, sum = append(list, v), sum+v
			}
			return list, sum
		}
		have, capacity := draw("have")
		callers, calls := draw("callers")
		load := make([]float64, n)
		for own := range n {
			sum := 0.0
			for i, share := range zoneShares(have, callers, own) {
				if !(share >= 0) {
					t.Fatalf("zone %d of %v for callers %v sends %v to %d", own, have, callers, share, i)
				}
				load[i] += share * callers[own] / calls
				sum += share
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("zone %d of %v for callers %v sends %v of its calls", own, have, callers, sum)
			}
		}
		for i := range load {
			if math.Abs(load[i]-have[i]/capacity) > 1e-9 {
				t.Fatalf("zone %d of %v for callers %v gets %v of the load", i, have, callers, load[i])
			}
		}
	})
}
