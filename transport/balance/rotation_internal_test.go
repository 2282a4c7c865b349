package balance

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// At every turn each index has had its share of the turns within less than 1.
func TestCycleIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.IntRange(1, 100), 1, 40).Draw(t, "parts")
		sum := 0
		for _, p := range parts {
			sum += p
		}
		had := make([]int, len(parts))
		for n, i := range newCycle(parts, sum) {
			had[i]++
			for j, p := range parts {
				ideal := float64(p) * float64(n+1) / float64(sum)
				if off := math.Abs(float64(had[j]) - ideal); off >= 1 {
					t.Fatalf("after %d turns %d has had %d, %.3f from its share", n+1, j, had[j], off)
				}
			}
		}
		if !slices.Equal(had, parts) {
			t.Fatalf("in a whole cycle %v have had %v", parts, had)
		}
	})
}

func TestRotation(t *testing.T) {
	for name, test := range map[string]struct {
		weights []float64
		want    rotation
	}{
		"equal":         {nil, rotation{}},
		"smooth":        {[]float64{5, 1, 1}, rotation{cycle: []int32{0, 0, 0, 1, 0, 0, 2}}},
		"reduced":       {[]float64{20, 10}, rotation{cycle: []int32{0, 0, 1}}},
		"too long":      {[]float64{1 << 14, 1}, rotation{strides: []uint16{65535, 4}}},
		"one, much":     {[]float64{1 << 40, 1 << 39}, rotation{cycle: []int32{0, 0, 1}}},
		"far too heavy": {[]float64{1 << 40, 1}, rotation{strides: []uint16{65535, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newRotation(test.weights); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// The cases of gRPC's static_stride_scheduler_test.cc. Ours counts turns from
// wherever it is, and bounds no ratio of weights: what servers report is used as
// it is.
func TestStride(t *testing.T) {
	for _, test := range []struct {
		weights []float64
		turns   int
		want    []int
	}{
		{[]float64{1, 2, 3}, 6, []int{1, 2, 3}},
		{[]float64{3, 2, 1}, 6, []int{3, 2, 1}},
		{[]float64{300, 300, 300}, 3000, []int{1000, 1000, 1000}},
		{[]float64{1, 1000}, 1001, []int{1, 1000}},
	} {
		t.Run(fmt.Sprint(test.weights), func(t *testing.T) {
			if got := strided(newStrides(test.weights), test.turns); !slices.Equal(got, test.want) {
				t.Errorf("%d turns go to %v, want %v", test.turns, got, test.want)
			}
		})
	}
}

// Two with 4/5 of the largest are not passed over in the same round, or their
// neighbour would get three calls in a row.
func TestStridesAreOutOfPhase(t *testing.T) {
	strides := newStrides([]float64{4, 4, 5})
	for turn := uint64(0); turn < 3*fullStride; turn += 3 {
		if stride(strides, turn) < 0 && stride(strides, turn+1) < 0 {
			t.Fatalf("both are passed over in round %d", turn/3)
		}
	}
}

// strided counts the turns that each index gets of a number of them.
func strided(strides []uint16, turns int) []int {
	had := make([]int, len(strides))
	for turn := uint64(0); turns > 0; turn++ {
		if i := stride(strides, turn); i >= 0 {
			had[i]++
			turns--
		}
	}
	return had
}

// Over all rounds each has exactly its stride of turns: gRPC's
// LargestIsPickedEveryGeneration, for all.
func TestStrideIsExact(t *testing.T) {
	strides := newStrides([]float64{1, 2, 3, 0.5})
	for i, got := range strided(strides, 21845+43690+65535+10923) {
		if got != int(strides[i]) {
			t.Errorf("%d has had %d turns, want %d", i, got, strides[i])
		}
	}
}
