package hashring_test

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

func TestNoMembers(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		for name, table := range map[string]*hashring.Table{"built": build(t, kind, nil), "zero": {}} {
			if i := table.Lookup(7); i != -1 {
				t.Errorf("%s: Lookup is %d, want -1", name, i)
			}
			if i := table.Bounded(7, hashring.Bound{}, func(int) int { return 0 }); i != -1 {
				t.Errorf("%s: Bounded is %d, want -1", name, i)
			}
			if got := slices.Collect(table.Choices(7)); len(got) != 0 || table.Len() != 0 {
				t.Errorf("%s: choices %v of %d, want none", name, got, table.Len())
			}
		}
	})
}

func TestOneMember(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, weighted(3))
		for _, h := range hashes(1000) {
			if i := table.Lookup(h); i != 0 {
				t.Fatalf("Lookup(%d) is %d", h, i)
			}
		}
		if got := slices.Collect(table.Choices(7)); !slices.Equal(got, []int{0}) {
			t.Errorf("choices %v", got)
		}
	})
}

func TestEdgesOfHash(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(5))
		for _, h := range []uint64{0, 1, math.MaxUint64, 1 << 63, 1<<32 - 1} {
			if i := table.Lookup(h); i < 0 || i > 4 {
				t.Errorf("Lookup(%d) is %d", h, i)
			}
		}
	})
}

// Numbers that are not hashes, such as those of users, spread too.
func TestConsecutiveNumbersSpread(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(10))
		var got [10]int
		for h := range uint64(100_000) {
			got[table.Lookup(h)]++
		}
		for i, n := range got {
			if n < 8500 || n > 11_500 {
				t.Errorf("member %d has %d of 100000", i, n)
			}
		}
	})
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		members := weighted(1, 2, 3, 4, 5, 1, 1, 1, 9, 1.5, 0.1, 7, 7, 7, 2, 2, 2, 1, 1, 30)
		table := build(t, kind, members)
		shuffled := slices.Clone(members)
		rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		other := build(t, kind, shuffled)
		for _, h := range hashes(2000) {
			want, got := choiceKeys(table, members, h), choiceKeys(other, shuffled, h)
			if !slices.Equal(got, want) {
				t.Fatalf("choices of %d:\n%v, and in another order\n%v", h, want, got)
			}
		}
	})
}

func choiceKeys(table *hashring.Table, members []hashring.Member, hash uint64) []string {
	var keys []string
	for i := range table.Choices(hash) {
		keys = append(keys, members[i].Key)
	}
	return keys
}

func TestBuildErrors(t *testing.T) {
	for name, c := range map[string]struct {
		settings hashring.Settings
		members  []hashring.Member
		want     []string
	}{
		"two with one key": {hashring.Settings{}, []hashring.Member{{Key: "a"}, {Key: "b"}, {Key: "a"}}, []string{`member "a": there are two`}},
		"weights": {hashring.Settings{}, []hashring.Member{{"a", -1}, {"b", math.NaN()}, {"c", math.Inf(1)}, {"d", 1e-7}, {"e", 1}},
			[]string{`"a": weight -1`, `"b": weight NaN`, `"c": weight +Inf`, `"d": weight 1e-07: want 1e-06 to 1e+09`}},
		"too few slots": {hashring.Settings{Kind: hashring.Maglev, Slots: 7}, equalMembers(8), []string{"8 members: want no more than the 7 slots"}},
		"kind":          {hashring.Settings{Kind: "star"}, nil, []string{`hashring: kind "star"`}},
		"slots":         {hashring.Settings{Slots: 65536}, nil, []string{"slots 65536: want a prime"}},
		"slots 121":     {hashring.Settings{Slots: 121}, nil, []string{"slots 121: want a prime"}},
		"slots 1":       {hashring.Settings{Slots: 1}, nil, []string{"slots 1: want a prime"}},
		"slots below 0": {hashring.Settings{Slots: -7}, nil, []string{"slots -7: want a prime"}},
		"large table":   {hashring.Settings{Slots: 8388617}, nil, []string{"slots 8388617"}},
		"points":        {hashring.Settings{MinPoints: 2000, MaxPoints: 1000}, nil, []string{"max_points 1000"}},
		"many points":   {hashring.Settings{MinPoints: -1, MaxPoints: 1 << 24}, nil, []string{"min_points -1", "max_points 16777216"}},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := hashring.Build(c.settings, c.members)
			if err == nil || table != nil {
				t.Fatalf("got %v, %v", table, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

// Published vectors of XXH64 with seed 0.
func TestSum(t *testing.T) {
	for key, want := range map[string]uint64{
		"":    0xef46db3751d8e999,
		"a":   0xd24ec4f1a98c6e5b,
		"abc": 0x44bc2cf5ad770999,
		"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02a2e85470d6fd96,
	} {
		if got := hashring.Sum(key); got != want {
			t.Errorf("Sum(%q) is %#x, want %#x", key, got, want)
		}
	}
}

// What clients of all releases must agree on. A failure here means that keys
// move in every fleet that is updated: see the package comment.
func TestOwnersStay(t *testing.T) {
	members := weighted(1, 1, 2, 3, 0.5, 1, 1, 10, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1)
	for kind, want := range map[hashring.Kind]uint64{
		hashring.Ring:       0x050ef5a4f48bc661,
		hashring.Maglev:     0xf2b440c3477bbdef,
		hashring.Rendezvous: 0xa4944171def6ce5b,
	} {
		table := build(t, kind, members)
		digest := fnv.New64a()
		for h := range uint64(4096) {
			for i := range table.Choices(h) {
				digest.Write([]byte(members[i].Key))
			}
		}
		if got := digest.Sum64(); got != want {
			t.Errorf("%s: digest %#x, want %#x", kind, got, want)
		}
	}
}
