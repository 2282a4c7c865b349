package balance

import (
	"testing"

	"github.com/gabion-go/gabion/internal/random"
)

// A second draw without weights is any but the first, each as often.
func TestDrawAnother(t *testing.T) {
	for n := 2; n <= 6; n++ {
		s := &set{active: make([]*Endpoint, n), rand: random.New(uint64(n))}
		for other := range n {
			const each = 1000
			count := make([]int, n)
			for range each * (n - 1) {
				count[s.draw(other)]++
			}
			for i, c := range count {
				if i == other && c != 0 || i != other && (c < each-150 || c > each+150) {
					t.Errorf("%d of %d is drawn %d times beside %d", i, n, c, other)
				}
			}
		}
	}
}
