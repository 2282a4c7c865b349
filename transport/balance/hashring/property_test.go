package hashring_test

import (
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
	"pgregory.net/rapid"
)

// What holds for every set of members and every key.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		members := drawMembers(t)
		table, err := hashring.Build(s, members)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range rapid.SliceOfN(rapid.Uint64(), 1, 20).Draw(t, "hashes") {
			checkChoices(t, table, h)
			checkBounded(t, table, h)
		}
		if s.Kind != hashring.Maglev && s.MaxPoints == 0 && s.MinPoints == 0 {
			checkRemoval(t, s, table, members)
		}
	})
}

func drawSettings(t *rapid.T) hashring.Settings {
	s := hashring.Settings{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	switch s.Kind {
	case hashring.Maglev:
		s.Slots = rapid.SampledFrom([]int{61, 251, 1021}).Draw(t, "slots")
	case hashring.Ring:
		s.MinPoints = rapid.IntRange(0, 2000).Draw(t, "min points")
		s.MaxPoints = rapid.SampledFrom([]int{0, 2000, 4000}).Draw(t, "max points")
	}
	return s
}

func drawMembers(t *rapid.T) []hashring.Member {
	weight := rapid.OneOf(rapid.Just(1.), rapid.Float64Range(0.1, 10), rapid.Float64Range(1e-6, 1e9))
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) hashring.Member {
		return hashring.Member{Key: rapid.String().Draw(t, "key"), Weight: weight.Draw(t, "weight")}
	}), 1, 40, func(m hashring.Member) string { return m.Key }).Draw(t, "members")
}

// checkChoices: everybody once, the owner first, and again the same.
func checkChoices(t *rapid.T, table *hashring.Table, h uint64) {
	order := slices.Collect(table.Choices(h))
	if order[0] != table.Lookup(h) {
		t.Fatalf("the first choice is %d, the owner %d", order[0], table.Lookup(h))
	}
	if again := slices.Collect(table.Choices(h)); !slices.Equal(again, order) {
		t.Fatalf("choices %v and then %v", order, again)
	}
	sorted := slices.Sorted(slices.Values(order))
	for i, got := range sorted {
		if got != i || len(sorted) != table.Len() {
			t.Fatalf("%d members: choices %v", table.Len(), order)
		}
	}
}

// checkBounded: with a true total, whoever is chosen has room.
func checkBounded(t *rapid.T, table *hashring.Table, h uint64) {
	loads := rapid.SliceOfN(rapid.IntRange(0, 1000), table.Len(), table.Len()).Draw(t, "loads")
	b := hashring.Bound{Factor: rapid.Float64Range(1, 2).Draw(t, "factor")}
	for _, n := range loads {
		b.Total += n
	}
	i := table.Bounded(h, b, func(i int) int { return loads[i] })
	if most := table.Capacity(i, b); loads[i] >= most {
		t.Fatalf("member %d has %d of %d already, and its capacity is %d", i, loads[i], b.Total, most)
	}
}

// checkRemoval: only the keys of a member that leaves move, for as long as the
// others keep their points.
func checkRemoval(t *rapid.T, s hashring.Settings, table *hashring.Table, members []hashring.Member) {
	gone := rapid.IntRange(0, len(members)-1).Draw(t, "gone")
	rest := without(members, gone)
	if len(rest) == 0 || s.Kind == hashring.Ring && !samePoints(members, rest) {
		return
	}
	fewer, err := hashring.Build(s, rest)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hashes(200) {
		was := table.Lookup(h)
		if is := owner(fewer, rest, h); was != gone && is != members[was].Key {
			t.Fatalf("%d left, and key %d moved from %q to %q", gone, h, members[was].Key, is)
		}
	}
}

// samePoints says whether in all sets a weight of 1 has 512 points.
func samePoints(sets ...[]hashring.Member) bool {
	for _, members := range sets {
		total := 0.0
		for _, m := range members {
			total += m.Weight
		}
		if total < 2 || total > 2048 {
			return false
		}
	}
	return true
}
