package subset

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// circleOf returns backends with these hashes, which are parts of the circle in
// units of 1/of and in increasing order.
func circleOf(of int, at ...int) []backend {
	circle := make([]backend, len(at))
	for i, a := range at {
		circle[i] = backend{hash: uint64(a) << 32 / uint64(of) << 32, index: a}
	}
	return circle
}

// arc returns the indices of the backends of a client.
func arc(circle []backend, k, ordinal, count int) []int {
	first := begin(circle, k, ordinal, count)
	chosen := make([]int, k)
	for i := range chosen {
		chosen[i] = circle[(first+i)%len(circle)].index
	}
	return chosen
}

// bearable reports whether the shift of the backend in place p is so small that
// the bound on the churn is proven for its leaving.
func bearable(circle []backend, k, p int) bool {
	b := int64(len(circle))
	shift := func(p int) int64 { return int64(p)*one + one/2 - b*int64(circle[p].hash>>(64-bits)) }
	sum := int64(0)
	for q := range circle {
		sum += shift(q)
	}
	off := b*shift(p) - sum
	return 2*max(off, -off) <= (b-int64(k))*one*b
}

func added(was, now []int) int {
	n := 0
	for _, x := range now {
		if !slices.Contains(was, x) {
			n++
		}
	}
	return n
}

func without(circle []backend, p int) []backend {
	return slices.Delete(slices.Clone(circle), p, p+1)
}

// checkBalance holds the clients of each backend to floor or ceil of C*k/B.
func checkBalance(t rapid.TB, circle []backend, k, count int) {
	t.Helper()
	clients := map[int]int{}
	for i := range count {
		for _, b := range arc(circle, k, i, count) {
			clients[b]++
		}
	}
	least := count * k / len(circle)
	for _, b := range circle {
		if n := clients[b.index]; n != least && (n != least+1 || count*k%len(circle) == 0) {
			t.Fatalf("%d of %d, %d clients: backend %d has %d clients, want %d or one more only to share out the rest", k, len(circle), count, b.index, n, least)
		}
	}
}

// mostChanged returns how many backends a client changes at most when the one in
// place p leaves: of those that use it, and of the others.
func mostChanged(circle []backend, k, count, p int) (users, others int) {
	left := without(circle, p)
	for i := range count {
		was := arc(circle, k, i, count)
		n := added(was, arc(left, k, i, count))
		if slices.Contains(was, circle[p].index) {
			users = max(users, n)
		} else {
			others = max(others, n)
		}
	}
	return users, others
}

// Every circle of backends on nine places, every k, up to 14 clients, everyone
// that could leave: those at the ends of the circle too. Where the bound is not
// proven, two may change but not more.
func TestEverySmallCircle(t *testing.T) {
	const places, clients = 9, 14
	for set := range 1 << places {
		var at []int
		for i := range places {
			if set>>i&1 == 1 {
				at = append(at, i)
			}
		}
		circle := circleOf(places, at...)
		for k := 1; k < len(circle); k++ {
			for count := 1; count <= clients; count++ {
				checkBalance(t, circle, k, count)
				for p := range circle {
					users, others := mostChanged(circle, k, count, p)
					if users > 2 || others > 1 || users > 1 && bearable(circle, k, p) {
						t.Fatalf("%d of %v, %d clients: %d change when %d leaves, %d for clients that do not use it",
							k, at, count, users, at[p], others)
					}
				}
			}
		}
	}
}

// Circles of any hashes, those that are far from even too.
func TestAnyCircle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SliceOfNDistinct(rapid.IntRange(0, 1<<20-1), 2, 60, rapid.ID[int]).Draw(t, "hashes")
		slices.Sort(at)
		circle := circleOf(1<<20, at...)
		k := rapid.IntRange(1, len(at)-1).Draw(t, "k")
		count := rapid.IntRange(1, 100).Draw(t, "clients")
		p := rapid.IntRange(0, len(at)-1).Draw(t, "who leaves")
		checkBalance(t, circle, k, count)
		users, others := mostChanged(circle, k, count, p)
		if users > 2 || others > 1 || users > 1 && bearable(circle, k, p) {
			t.Fatalf("%d change, %d for clients that do not use it", users, others)
		}
	})
}
