package hashring_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

const keys = 20_000

func TestLeavingMovesOnlyItsKeys(t *testing.T) {
	sets := map[string][]hashring.Member{
		"2": equalMembers(2), "3": equalMembers(3), "10": equalMembers(10), "100": equalMembers(100),
		"weights": weighted(1, 2, 3, 4, 5, 1, 1, 1, 1, 1), "large weights": weighted(100, 100, 50, 200, 100),
	}
	for _, kind := range []hashring.Kind{hashring.Ring, hashring.Rendezvous} {
		for name, members := range sets {
			t.Run(fmt.Sprintf("%s/%s", kind, name), func(t *testing.T) {
				for i := range min(5, len(members)) {
					s := hashring.Settings{Kind: kind}
					if left, _, others := moves(t, s, members, without(members, i), keys); left == 0 || others != 0 {
						t.Errorf("without %d: %.4f left it and %.4f of others moved", i, left, others)
					}
					if _, joined, others := moves(t, s, without(members, i), members, keys); joined == 0 || others != 0 {
						t.Errorf("with %d: %.4f came to it and %.4f of others moved", i, joined, others)
					}
				}
			})
		}
	}
}

// Maglev moves some of the others' keys too; most is a part of all keys. As one
// in n has to move, that is less than twice as many as need be up to n = 100.
func TestMaglevMovesFewOthers(t *testing.T) {
	for _, c := range []struct {
		members, slots int
		most           float64
	}{
		{3, 65537, 0.001}, {10, 65537, 0.004}, {100, 65537, 0.009}, {1000, 65537, 0.01},
	} {
		members := equalMembers(c.members)
		worst := 0.0
		for i := range 3 {
			s := hashring.Settings{Kind: hashring.Maglev, Slots: c.slots}
			_, _, others := moves(t, s, members, without(members, i*(c.members-1)/2), keys)
			worst = max(worst, others)
		}
		t.Logf("%d members, %d slots: %.4f of others moved", c.members, c.slots, worst)
		if worst > c.most {
			t.Errorf("%d members, %d slots: %.4f of others moved, want %.4f at most", c.members, c.slots, worst, c.most)
		}
	}
}

func TestWeightChangeMovesTheDifference(t *testing.T) {
	for _, c := range []struct {
		kind hashring.Kind
		most float64
	}{{hashring.Ring, 0}, {hashring.Rendezvous, 0}, {hashring.Maglev, 0.004}} {
		for _, weights := range [][2]float64{{1, 2}, {2, 1}, {1, 0.5}, {1, 1.1}} {
			before, after := equalMembers(10), equalMembers(10)
			before[3].Weight, after[3].Weight = weights[0], weights[1]
			toward, others := weightMoves(t, c.kind, before, after, 3)
			need := abs(weights[1]/(9+weights[1]) - weights[0]/(9+weights[0]))
			t.Logf("%s %v: need %.4f, moved %.4f and %.4f others", c.kind, weights, need, toward, others)
			if toward > 1.3*need+0.005 || toward < 0.7*need-0.005 {
				t.Errorf("%s %v: %.4f moved to or from it, want %.4f", c.kind, weights, toward, need)
			}
			if others > c.most {
				t.Errorf("%s %v: %.4f of others moved, want %.4f at most", c.kind, weights, others, c.most)
			}
		}
	}
}

// weightMoves returns the part of the keys that moved to or from the member and
// the part of those that moved between others.
func weightMoves(t *testing.T, kind hashring.Kind, before, after []hashring.Member, member int) (toward, others float64) {
	old, now := build(t, kind, before), build(t, kind, after)
	for _, h := range hashes(keys) {
		from, to := old.Lookup(h), now.Lookup(h)
		switch {
		case from == to:
		case from == member || to == member:
			toward += 1. / keys
		default:
			others += 1. / keys
		}
	}
	return toward, others
}

func abs(x float64) float64 { return max(x, -x) }

// A ring that would be too large has fewer points, in steps: most changes of the
// set take none, and one step moves about a step's part of the keys.
func TestLargeRingShrinksInSteps(t *testing.T) {
	s := hashring.Settings{MaxPoints: 8192}
	members := equalMembers(40)
	still, worst := 0, 0.0
	for n := 39; n >= 20; n-- {
		_, _, others := moves(t, s, members[:n+1], members[:n], 10_000)
		if others == 0 {
			still++
		}
		worst = max(worst, others)
	}
	t.Logf("%d of 20 changes moved no others, the worst %.3f", still, worst)
	if still < 10 || worst > 0.13 {
		t.Errorf("%d of 20 changes moved no others, the worst %.3f; want 10 or more, and 0.13 at most", still, worst)
	}
}

// The first choices of a key do not change when a member leaves that is not
// among them.
func TestFirstChoicesStay(t *testing.T) {
	for _, kind := range []hashring.Kind{hashring.Ring, hashring.Rendezvous} {
		members := equalMembers(50)
		table, fewer := build(t, kind, members), build(t, kind, members[:49])
		for _, h := range hashes(1000) {
			was, is := choiceKeys(table, members, h), choiceKeys(fewer, members, h)
			for first := range 16 {
				if was[first] == members[49].Key {
					break
				}
				if is[first] != was[first] {
					t.Fatalf("%s: choice %d of %d was %s and is %s", kind, first, h, was[first], is[first])
				}
			}
		}
	}
}

// With rendezvous hashing, to pass over a member is to do without it.
func TestPassingOverIsRemoving(t *testing.T) {
	members := weighted(1, 2, 3, 4, 5, 6, 7, 8)
	table, fewer := build(t, hashring.Rendezvous, members), build(t, hashring.Rendezvous, members[:7])
	for _, h := range hashes(2000) {
		passed := slices.DeleteFunc(slices.Collect(table.Choices(h)), func(i int) bool { return i == 7 })
		if removed := slices.Collect(fewer.Choices(h)); !slices.Equal(passed, removed) {
			t.Fatalf("choices of %d: %v passing over it, %v without it", h, passed, removed)
		}
	}
}
