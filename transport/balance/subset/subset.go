package subset

import "slices"

// Client says who chooses.
type Client struct {
	// Group names those that number their clients together, such as the
	// client's service. Each group has a circle of its own: many groups of one
	// client each would otherwise all take the same backends. Optional.
	Group string

	// ID is this client's own name. It counts where the place is not known;
	// clients with the same ID then choose the same.
	ID string

	// Ordinal is the place of this client among the Count of its group, from 0.
	// Every client of the group should have another one. Count 0, and an
	// Ordinal outside of 0 to Count-1, mean that the place is not known.
	Ordinal, Count int
}

func (c Client) placed() bool { return c.Ordinal >= 0 && c.Ordinal < c.Count }

// Choose returns the indices in keys of the k backends that c should use, in
// increasing order. There are fewer only where there are fewer keys; of a k that
// is not positive, none. Keys should be distinct. Their order does not matter:
// the same set of keys gives the same k keys.
//
// It takes O(n log n) for n keys, without reading the clock or drawing numbers,
// and makes two allocations; see the package comment for what it promises. It is
// meant to be called whenever the backends or the client's place have changed.
// It is safe for concurrent use.
func Choose(keys []string, k int, c Client) []int {
	k = max(0, min(k, len(keys)))
	chosen := make([]int, k)
	if k == len(keys) || k == 0 {
		for i := range chosen {
			chosen[i] = i
		}
		return chosen
	}
	backends, first := place(keys, k, c)
	for i := range chosen {
		chosen[i] = backends[(first+i)%len(backends)].index
	}
	slices.Sort(chosen)
	return chosen
}

// place returns the backends in the order that c sees them in, and where in it
// those of c begin.
func place(keys []string, k int, c Client) (backends []backend, first int) {
	if !c.placed() {
		return order(keys, nameSalt(c.Group, c.ID)), 0
	}
	circle := order(keys, circleSalt(c.Group))
	return circle, begin(circle, k, c.Ordinal, c.Count)
}
