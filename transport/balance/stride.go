package balance

import "math"

// fullStride is the stride of the heaviest.
const fullStride = math.MaxUint16

// newStrides scales weights, which are positive, so that the heaviest has the
// full stride.
func newStrides(weights []float64) []uint16 {
	most := 0.0
	for _, w := range weights {
		most = max(most, w)
	}
	strides := make([]uint16, len(weights))
	for i, w := range weights {
		strides[i] = uint16(max(1, math.Round(w/most*fullStride)))
	}
	return strides
}

// stride returns whose turn it is, or a negative number. In each round all come
// up; one has its turn in as many of the rounds as its stride is of the full
// one, evenly spread. Source: the static stride scheduler that gRPC uses for
// its weighted round robin (gRFC A58).
func stride(strides []uint16, turn uint64) int {
	n := uint64(len(strides))
	i, round := turn%n, turn/n
	w := uint64(strides[i])
	if (w*round+i*(fullStride/2))%fullStride < fullStride-w {
		return -1
	}
	return int(i)
}
