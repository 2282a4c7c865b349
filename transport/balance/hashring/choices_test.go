package hashring_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

func TestChoicesAreEverybodyOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		for _, n := range []int{1, 2, 3, 16, 17, 60, 97} {
			table := build(t, kind, equalMembers(n))
			for _, h := range hashes(100) {
				got := slices.Collect(table.Choices(h))
				if got[0] != table.Lookup(h) {
					t.Fatalf("the first choice is %d, the owner %d", got[0], table.Lookup(h))
				}
				slices.Sort(got)
				for i, v := range got {
					if i != v {
						t.Fatalf("%d members: choices %v", n, got)
					}
				}
				if len(got) != n {
					t.Fatalf("%d members: %d choices", n, len(got))
				}
			}
		}
	})
}

// Whoever stops asking is not asked for more, at any place of the order.
func TestChoicesEnd(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(40))
		for stop := 1; stop <= 40; stop++ {
			n := 0
			for range table.Choices(9) {
				if n++; n == stop {
					break
				}
			}
			if n != stop {
				t.Fatalf("stopped after %d, want %d", n, stop)
			}
		}
	})
}

// The keys of a member that is passed over spread over all others by weight.
func TestFailOverSpreads(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		for name, members := range map[string][]hashring.Member{
			"equal": equalMembers(10), "weights": weighted(3, 1, 2, 1, 4, 1, 1, 2, 1, 1),
		} {
			for gone := range 3 {
				checkSpread(t, name, build(t, kind, members), members, gone)
			}
		}
	})
}

func checkSpread(t *testing.T, name string, table *hashring.Table, members []hashring.Member, gone int) {
	t.Helper()
	second, all := make([]float64, len(members)), 0.0
	for _, h := range hashes(100_000) {
		if table.Lookup(h) == gone {
			second[secondChoice(table, h)]++
			all++
		}
	}
	total := 0.0
	for i, m := range members {
		if i != gone {
			total += max(1, m.Weight)
		}
	}
	for i, m := range members {
		want := max(1, m.Weight) / total * all
		if i == gone {
			want = 0
		}
		if math.Abs(second[i]-want) > 0.18*want+4*math.Sqrt(want) {
			t.Errorf("%s: %v of %v keys of %d go to %d, want %.0f", name, second[i], all, gone, i, want)
		}
	}
}

func secondChoice(table *hashring.Table, h uint64) int {
	first := true
	for i := range table.Choices(h) {
		if !first {
			return i
		}
		first = false
	}
	return -1
}

// All members but two may be passed over; the keys still spread over both.
func TestLateChoicesSpread(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(100))
		var got [2]int
		for _, h := range hashes(2000) {
			for i := range table.Choices(h) {
				if i < 2 {
					got[i]++
					break
				}
			}
		}
		if got[0] < 850 || got[1] < 850 {
			t.Errorf("got %v of 2000, want about half each", got)
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	eachKind(t, func(t *testing.T, kind hashring.Kind) {
		table := build(t, kind, equalMembers(50))
		loads := make([]int, 50)
		sum := 0
		for name, f := range map[string]func(){
			"Sum, Lookup": func() { sum += table.Lookup(hashring.Sum("user-1234567890")) },
			"Choices": func() {
				for i := range table.Choices(42) {
					sum += i
				}
			},
			"Bounded": func() {
				sum += table.Bounded(42, hashring.Bound{Total: 100}, func(i int) int { return loads[i] })
			},
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
