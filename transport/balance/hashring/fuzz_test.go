package hashring_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

// Build takes any members or says what is wrong with them, and the table finds
// somebody for every number.
func FuzzBuild(f *testing.F) {
	f.Add("a,b,c", uint64(7), 1.0, uint8(0), uint16(13))
	f.Add("a,a", uint64(0), 1.0, uint8(1), uint16(2))
	f.Add("", uint64(math.MaxUint64), math.NaN(), uint8(2), uint16(0))
	f.Add("x,y", uint64(1<<63), 1e9, uint8(0), uint16(1))
	f.Fuzz(func(t *testing.T, list string, hash uint64, weight float64, kind uint8, size uint16) {
		var members []hashring.Member
		for i, key := range strings.Split(list, ",") {
			w := weight
			if i%2 == 1 {
				w = 1
			}
			members = append(members, hashring.Member{Key: key, Weight: w})
		}
		s := hashring.Settings{Kind: kinds[int(kind)%len(kinds)], MinPoints: int(size), MaxPoints: 2 * int(size), Slots: int(size)}
		table, err := hashring.Build(s, members)
		if err != nil {
			if table != nil {
				t.Fatalf("a table and %v", err)
			}
			return
		}
		seen := make([]bool, len(members))
		for i := range table.Choices(hash) {
			if seen[i] {
				t.Fatalf("%d comes twice", i)
			}
			seen[i] = true
		}
		for i, ok := range seen {
			if !ok {
				t.Fatalf("%d never comes", i)
			}
		}
		if i := table.Lookup(hash); i < 0 || i >= len(members) {
			t.Fatalf("Lookup is %d of %d", i, len(members))
		}
	})
}
