package hashring_test

import (
	"fmt"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

var sizes = []int{10, 100, 1000, 10_000}

func benchEach(b *testing.B, run func(b *testing.B, s hashring.Settings, members []hashring.Member)) {
	for _, kind := range kinds {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				b.ReportAllocs()
				run(b, hashring.Settings{Kind: kind}, equalMembers(n))
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	benchEach(b, func(b *testing.B, s hashring.Settings, members []hashring.Member) {
		for b.Loop() {
			if _, err := hashring.Build(s, members); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	benchEach(b, func(b *testing.B, s hashring.Settings, members []hashring.Member) {
		table := build(b, s.Kind, members)
		var h uint64
		for b.Loop() {
			h++
			table.Lookup(h)
		}
	})
}

// With a load that no member is above.
func BenchmarkBounded(b *testing.B) {
	benchEach(b, func(b *testing.B, s hashring.Settings, members []hashring.Member) {
		table := build(b, s.Kind, members)
		loads := make([]int, len(members))
		var h uint64
		for b.Loop() {
			h++
			table.Bounded(h, hashring.Bound{Total: 100}, func(i int) int { return loads[i] })
		}
	})
}

func BenchmarkSum(b *testing.B) {
	key := "8f14e45f-ceea-467f-a9d6-6f5b1f2c3d4e"
	for b.Loop() {
		hashring.Sum(key)
	}
}
