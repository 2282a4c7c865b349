package hashring

import (
	"fmt"
	"math"
	"testing"
)

func TestSharesFollowWeights(t *testing.T) {
	weights := ofWeights(1, 2, 3, 4, 5, 10, 1, 1, 1, 1)
	large := ofWeights(100, 200, 300, 100, 50)
	light := ofWeights(0.01, 1, 1, 1)
	for _, c := range []struct {
		settings Settings
		members  []Member
		within   float64 // of the ideal part
	}{
		// Four standard deviations: 4/sqrt(points of the member).
		{Settings{Kind: Ring}, same(2), 0.18},
		{Settings{Kind: Ring}, same(10), 0.18},
		{Settings{Kind: Ring}, same(1000), 0.18},
		{Settings{Kind: Ring}, weights, 0.18},
		{Settings{Kind: Ring}, large, 0.025},
		{Settings{Kind: Ring, MinPoints: 1 << 18}, same(10), 0.025},
		{Settings{Kind: Ring, MinPoints: 10, MaxPoints: 1000}, same(10), 0.4},
		{Settings{Kind: Ring, MaxPoints: 100_000}, same(1000), 0.41},

		// One slot of the member's.
		{Settings{Kind: Maglev}, same(10), 0.00016},
		{Settings{Kind: Maglev}, same(100), 0.0016},
		{Settings{Kind: Maglev}, same(655), 0.01},
		{Settings{Kind: Maglev, Slots: 200_003}, same(2000), 0.01},
		{Settings{Kind: Maglev}, weights, 0.0005},
		{Settings{Kind: Maglev}, large, 0.0003},
		{Settings{Kind: Maglev}, light, 0.005},

		// Five standard deviations of the draw of keys.
		{Settings{Kind: Rendezvous}, same(10), 0.034},
		{Settings{Kind: Rendezvous}, weights, 0.06},
		{Settings{Kind: Rendezvous}, large, 0.044},
	} {
		t.Run(fmt.Sprintf("%s of %d", c.settings.Kind, len(c.members)), func(t *testing.T) {
			table, err := Build(c.settings, c.members)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, got := range table.parts() {
				ideal := table.weights[i] / table.total
				off := math.Abs(got-ideal) / ideal
				if worst = max(worst, off); off > c.within {
					t.Errorf("member %d has %.5f, want %.5f: off by %.2f %%", i, got, ideal, 100*off)
				}
			}
			t.Logf("the worst is off by %.3f %%", 100*worst)
		})
	}
}

// However light a member, a table has a place for it.
func TestNobodyIsWithoutKeys(t *testing.T) {
	for _, kind := range []Kind{Ring, Maglev} {
		table, err := Build(Settings{Kind: kind}, ofWeights(1e9, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if parts := table.parts(); parts[1] == 0 || parts[2] == 0 {
			t.Errorf("%s: parts %v", kind, parts)
		}
	}
}

func TestPointsOfRing(t *testing.T) {
	for _, c := range []struct {
		settings Settings
		members  []Member
		points   int
	}{
		{Settings{}, same(1), 1024},
		{Settings{}, same(2), 1024},
		{Settings{}, same(3), 1536},
		{Settings{}, same(1000), 512_000},
		{Settings{}, same(10_000), 1_040_000},
		{Settings{}, ofWeights(100, 200, 0.5), 153_856},
		{Settings{}, ofWeights(0.5, 0.5), 1024},
		{Settings{}, ofWeights(1, 1e-6), 1025},
		{Settings{MinPoints: 4096}, same(2), 4096},
		{Settings{MaxPoints: 1000}, same(20), 960},
		{Settings{MaxPoints: 3}, same(20), 20},
	} {
		table, err := Build(c.settings, c.members)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(table.points.(*ring).points); got != c.points {
			t.Errorf("%+v, %d members: %d points, want %d", c.settings, len(c.members), got, c.points)
		}
	}
}

// ofWeights returns a member of each weight.
func ofWeights(weights ...float64) []Member {
	members := make([]Member, len(weights))
	for i, w := range weights {
		members[i] = Member{Key: fmt.Sprintf("member-%d", i), Weight: w}
	}
	return members
}

// same returns n members of weight 1.
func same(n int) []Member { return ofWeights(make([]float64, n)...) }

// parts returns each member's part of all keys: exactly, but for rendezvous,
// which has to be tried.
func (t *Table) parts() []float64 {
	parts := make([]float64, t.Len())
	switch p := t.points.(type) {
	case *ring:
		before := p.points[len(p.points)-1] >> 32
		for _, point := range p.points {
			position := point >> 32
			parts[point&indexMask] += float64(uint32(position-before)) / (1 << 32)
			before = position
		}
	case maglev:
		for _, i := range p {
			parts[i] += 1 / float64(len(p))
		}
	default:
		const keys = 200_000
		for h := range uint64(keys) {
			parts[t.Lookup(h)] += 1. / keys
		}
	}
	return parts
}
