package subset

import (
	"cmp"
	"slices"
)

// backend is a key in the order of the hashes.
type backend struct {
	hash  uint64
	index int // in the keys
}

// order returns the keys by their hashes. Two of 10,000 keys have the same in one
// of 10^11 lists; which is first is then not said.
func order(keys []string, salt uint64) []backend {
	list := make([]backend, len(keys))
	for i, key := range keys {
		list[i] = backend{hash: keyHash(salt, key), index: i}
	}
	slices.SortFunc(list, func(a, b backend) int { return cmp.Compare(a.hash, b.hash) })
	return list
}

// Places on the circle are fixed-point numbers with bits after the point, so
// that every machine comes to the same ones.
const (
	bits = 32
	one  = 1 << bits // a place
)

// begin returns where on the circle the k backends of client ordinal of count
// begin: floor(turn + ordinal*B/count), in [0, B). Rounding ordinal*B/count down
// to the fixed point first does not change the floor, since turn is a whole
// number of its units. Nothing overflows below 1<<30 backends and clients.
func begin(circle []backend, k, ordinal, count int) int {
	b, c := uint64(len(circle)), uint64(count)
	whole, rest := uint64(ordinal)*b/c, uint64(ordinal)*b%c
	at := turn(circle, k) + int64(whole<<bits+rest<<bits/c)
	first := (at >> bits) % int64(b) // rounds towards minus infinity
	if first < 0 {
		first += int64(b)
	}
	return int(first)
}

// turn returns sum(1/2 - h) - (k-1)/2, where h are the hashes as parts of the
// circle.
func turn(circle []backend, k int) int64 {
	sum := -int64(k-1) * (one / 2)
	for _, b := range circle {
		sum += one/2 - int64(b.hash>>(64-bits))
	}
	return sum
}
