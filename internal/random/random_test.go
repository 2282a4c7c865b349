package random_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

func TestSeedDecides(t *testing.T) {
	a, b, c := random.New(1), random.New(1), random.New(2)
	same, other := 0, 0
	for range 1000 {
		x := a.Uint64()
		if x == b.Uint64() {
			same++
		}
		if x == c.Uint64() {
			other++
		}
	}
	if same != 1000 || other != 0 {
		t.Errorf("same seed: %d of 1000 equal, another: %d", same, other)
	}
}

// TestUniform holds each way of drawing to the deciles of the uniform
// distribution. The seeds are fixed: the outcome is not left to chance.
func TestUniform(t *testing.T) {
	src := random.New(7)
	for name, draw := range map[string]func(i int) float64{
		"Float64":  func(int) float64 { return random.Float64(src) },
		"IntN":     func(int) float64 { return float64(random.IntN(src, 1000)) / 1000 },
		"Duration": func(int) float64 { return random.Duration(src, time.Second).Seconds() },
		"Hash": func(i int) float64 {
			return random.Unit(random.Hash(3, "pricing", uint64(i)))
		},
		"Hash of names": func(i int) float64 {
			return random.Unit(random.Hash(uint64(i), "cart-1", 4, 5))
		},
		"Runtime": func(int) float64 { return random.Float64(random.Runtime) },
	} {
		const n = 100_000
		var deciles [10]int
		for i := range n {
			x := draw(i)
			if x < 0 || x >= 1 {
				t.Fatalf("%s: drew %v, want [0, 1)", name, x)
			}
			deciles[int(x*10)]++
		}
		for d, got := range deciles {
			if math.Abs(float64(got)-n/10) > 1000 { // ten standard deviations
				t.Errorf("%s: decile %d has %d of %d", name, d, got, n)
			}
		}
	}
}

func TestHashTellsApart(t *testing.T) {
	seen := map[uint64]string{}
	add := func(what string, h uint64) {
		if was, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", was, what)
		}
		seen[h] = what
	}
	add("seed 1", random.Hash(1, "a"))
	add("seed 2", random.Hash(2, "a"))
	add("name", random.Hash(1, "b"))
	add("number", random.Hash(1, "a", 0))
	add("two numbers", random.Hash(1, "a", 0, 0))
	add("order 1", random.Hash(1, "a", 1, 2))
	add("order 2", random.Hash(1, "a", 2, 1))
	if once, again := random.Hash(1, "a", 1, 2), random.Hash(1, "a", 1, 2); once != again {
		t.Error("the same hash twice differs")
	}
}

func BenchmarkRuntime(b *testing.B) {
	src := random.Runtime
	for b.Loop() {
		random.IntN(src, 10)
	}
}

func BenchmarkRand(b *testing.B) {
	for b.Loop() {
		rand.IntN(10)
	}
}

// A duration is no int, which may have 32 bits.
func TestDurationOfDays(t *testing.T) {
	src := random.New(1)
	longest := time.Duration(0)
	for range 1000 {
		d := random.Duration(src, 48*time.Hour)
		if d < 0 || d >= 48*time.Hour {
			t.Fatalf("got %v, want 0 to 48h", d)
		}
		longest = max(longest, d)
	}
	if longest < 47*time.Hour {
		t.Errorf("the longest of 1000 is %v, want nearly 48h", longest)
	}
}
