package hashring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

var kinds = []hashring.Kind{hashring.Ring, hashring.Maglev, hashring.Rendezvous}

// eachKind runs test for each kind of table.
func eachKind(t *testing.T, test func(t *testing.T, kind hashring.Kind)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, kind) })
	}
}

func build(t testing.TB, kind hashring.Kind, members []hashring.Member) *hashring.Table {
	t.Helper()
	table, err := hashring.Build(hashring.Settings{Kind: kind}, members)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// equalMembers returns n members of weight 1.
func equalMembers(n int) []hashring.Member {
	members := make([]hashring.Member, n)
	for i := range members {
		members[i] = hashring.Member{Key: fmt.Sprintf("member-%d", i)}
	}
	return members
}

// weighted returns a member of each weight.
func weighted(weights ...float64) []hashring.Member {
	members := equalMembers(len(weights))
	for i, w := range weights {
		members[i].Weight = w
	}
	return members
}

func without(members []hashring.Member, i int) []hashring.Member {
	return append(append([]hashring.Member(nil), members[:i]...), members[i+1:]...)
}

// hashes returns the same n numbers each time.
func hashes(n int) []uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = r.Uint64()
	}
	return hashes
}

// owner returns the key of the owner of hash.
func owner(table *hashring.Table, members []hashring.Member, hash uint64) string {
	return members[table.Lookup(hash)].Key
}

// moves returns how many keys have a new owner after the change of the set from
// before to after, as parts of all: those whose owner has left, those whose
// new owner has joined, and the others, which move without need.
func moves(t *testing.T, s hashring.Settings, before, after []hashring.Member, keys int) (left, joined, others float64) {
	t.Helper()
	old, err := hashring.Build(s, before)
	if err != nil {
		t.Fatal(err)
	}
	now, err := hashring.Build(s, after)
	if err != nil {
		t.Fatal(err)
	}
	was, is := keySet(before), keySet(after)
	for _, h := range hashes(keys) {
		from, to := owner(old, before, h), owner(now, after, h)
		switch {
		case from == to:
		case !is[from]:
			left += 1 / float64(keys)
		case !was[to]:
			joined += 1 / float64(keys)
		default:
			others += 1 / float64(keys)
		}
	}
	return left, joined, others
}

func keySet(members []hashring.Member) map[string]bool {
	set := map[string]bool{}
	for _, m := range members {
		set[m.Key] = true
	}
	return set
}
