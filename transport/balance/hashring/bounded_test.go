package hashring_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

func TestCapacity(t *testing.T) {
	table := build(t, hashring.Ring, weighted(1, 1, 2))
	for _, c := range []struct {
		bound hashring.Bound
		want  [3]int
	}{
		{hashring.Bound{}, [3]int{1, 1, 1}},
		{hashring.Bound{Total: 7}, [3]int{3, 3, 5}},                              // 1.25 x 8 / 4 = 2.5
		{hashring.Bound{Total: 99, Factor: 2}, [3]int{50, 50, 100}},              //
		{hashring.Bound{Total: 99, Factor: 0.5}, [3]int{25, 25, 50}},             // taken as 1
		{hashring.Bound{Total: 99, Factor: 1.2, Weight: 2}, [3]int{60, 60, 120}}, // the third may not be used
	} {
		for i, want := range c.want {
			if got := table.Capacity(i, c.bound); got != want {
				t.Errorf("%+v: capacity of %d is %d, want %d", c.bound, i, got, want)
			}
		}
	}
}

// Calls come and go, many for a few hot keys; nobody gets one above its capacity.
func TestBoundedHolds(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		members := weighted(1, 2, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
		table := build(t, kind, members)
		loads, total := make([]int, len(members)), 0
		r := rand.New(rand.NewPCG(5, 6))
		var flying []int
		for range 20_000 {
			if len(flying) > 0 && r.IntN(200) < len(flying) {
				at := r.IntN(len(flying))
				loads[flying[at]]--
				total--
				flying[at] = flying[len(flying)-1]
				flying = flying[:len(flying)-1]
				continue
			}
			b := hashring.Bound{Factor: 1.2, Total: total}
			i := table.Bounded(uint64(r.IntN(3)), b, func(i int) int { return loads[i] })
			loads[i]++
			total++
			flying = append(flying, i)
			if most := table.Capacity(i, b); loads[i] > most {
				t.Fatalf("member %d has %d of %d, want %d at most", i, loads[i], total, most)
			}
		}
	})
}

// A key stays with its owner while that has room, and goes on in the order of
// its choices.
func TestBoundedTakesTheFirstWithRoom(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(30))
		loads := make([]int, 30)
		b := hashring.Bound{Total: 90} // 3.8 each
		load := func(i int) int { return loads[i] }
		for i := range table.Choices(77) {
			if got := table.Bounded(77, b, load); got != i {
				t.Fatalf("got %d, want %d", got, i)
			}
			loads[i] = 4
		}
		if got, want := table.Bounded(77, b, load), table.Lookup(77); got != want {
			t.Errorf("with everybody at capacity: got %d, want the owner, %d", got, want)
		}
	})
}

func TestBoundedPassesOverUnusable(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(6))
		for _, h := range hashes(200) {
			only := int(h % 6)
			got := table.Bounded(h, hashring.Bound{Total: 5, Weight: 1}, func(i int) int {
				if i != only {
					return -1
				}
				return 5
			})
			if got != only {
				t.Fatalf("got %d, want %d, who alone may be used", got, only)
			}
			if got := table.Bounded(h, hashring.Bound{}, func(int) int { return -1 }); got != -1 {
				t.Fatalf("got %d, and nobody may be used", got)
			}
			full := table.Bounded(h, hashring.Bound{}, func(i int) int { // less than is true
				if i != only {
					return -1
				}
				return 100
			})
			if full != only {
				t.Fatalf("got %d, want %d, at capacity but alone", full, only)
			}
		}
	})
}

// What an overloaded member cannot take spreads over all others.
func TestOverflowSpreads(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(11))
		var got [11]int
		for _, h := range hashes(100_000) {
			if table.Lookup(h) != 4 {
				continue
			}
			i := table.Bounded(h, hashring.Bound{Total: 110}, func(i int) int {
				if i == 4 {
					return 100
				}
				return 1
			})
			got[i]++
		}
		if got[4] != 0 {
			t.Errorf("the overloaded member got %d", got[4])
		}
		for i, n := range got {
			if i != 4 && (n < 640 || n > 1200) { // 100,000 / 11 / 10 = 909
				t.Errorf("member %d got %d: %v", i, n, got)
			}
		}
	})
}
