package hashring

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Sum returns the hash of a key: XXH64 with seed 0 of its bytes
// (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). It is the
// same in every process and release, so clients in other languages can agree.
// It is not made to withstand keys that are chosen to collide.
func Sum(key string) uint64 { return xxhash.Sum64String(key) }

// golden is 2^64 divided by the golden ratio, the step of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable
// Pseudorandom Number Generators", OOPSLA 2014): a permutation of the 64-bit
// numbers in which each bit of x changes half of the bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw returns the k-th number, from 0, that SplitMix64 draws from seed.
func draw(seed, k uint64) uint64 { return mix(seed + (k+1)*golden) }

// below scales a number that is uniform over 64 bits to one in [0, n).
func below(x, n uint64) uint64 {
	hi, _ := bits.Mul64(x, n)
	return hi
}
