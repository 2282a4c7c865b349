// Package random draws numbers from a [rand.Source], the runtime's own unless
// a test brings a seeded one, and from hashes of what the number is for.
package random

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Runtime is the generator of the runtime: fast, shared by no two threads, and
// seeded by chance.
var Runtime rand.Source = runtime{}

type runtime struct{}

func (runtime) Uint64() uint64 { return rand.Uint64() }

// Seeded is a source whose numbers follow from its seed and the order of the
// calls. It is safe for concurrent use. Source: splitmix64, Steele, Lea and
// Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
type Seeded struct{ state atomic.Uint64 }

// New returns a source for seed.
func New(seed uint64) *Seeded {
	s := &Seeded{}
	s.state.Store(seed)
	return s
}

// Uint64 returns the next number.
func (s *Seeded) Uint64() uint64 { return mix(s.state.Add(golden)) }

const golden = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Float64 returns a number in [0, 1).
func Float64(src rand.Source) float64 { return Unit(src.Uint64()) }

// Unit maps 64 random bits to [0, 1).
func Unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

// IntN returns a number in [0, n). n must be positive. The bias of at most
// n/2^64 is nothing that calls would notice.
func IntN(src rand.Source, n int) int { return int(below(src, uint64(n))) }

// Duration returns a duration in [0, d). d must be positive.
func Duration(src rand.Source, d time.Duration) time.Duration {
	return time.Duration(below(src, uint64(d)))
}

func below(src rand.Source, n uint64) uint64 {
	hi, _ := bits.Mul64(src.Uint64(), n)
	return hi
}

// Hash returns 64 bits that follow from seed, name and numbers alone, so that
// what one decision gets does not depend on how many others were made before.
func Hash(seed uint64, name string, numbers ...uint64) uint64 {
	h := mix(seed + golden)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	h = mix(h + uint64(len(name)))
	for _, n := range numbers {
		h = mix(h ^ mix(n+golden))
	}
	return h
}
