package hashring

import (
	"math"
	"math/bits"
)

// unitPoints is how many points a member of weight 1 has on a ring that need be
// neither smaller nor larger. It makes 1,024 points with two members, and the
// standard deviation of a share 1/sqrt(512), which is 4.4 %.
const unitPoints = 512

// ring is a circle of 2^32 positions with the members' points on it. A number's
// owner is that of the first point at or after its 32 high bits.
type ring struct {
	// points are in ascending order: position << 32 | index.
	points []uint64
	// starts has, for each value of a position's high bits, the first point at
	// or after the least position with that value. There are about as many
	// values as points, so few points are looked at to find one.
	starts []uint32
	shift  uint // what is left of a number's bits is an index of starts
}

const indexMask = 1<<32 - 1

// newRing places the points of each member and sorts them by their high bits,
// which spread evenly, and then the few with the same high bits. Which points a
// member has depends on nobody else: those of a smaller number of points are
// among those of a larger.
func newRing(shares []share, perWeight float64) *ring {
	total := 0
	for _, s := range shares {
		total += s.points(perWeight)
	}
	width := bits.Len(uint(total)) - 1
	r := &ring{points: make([]uint64, total), starts: make([]uint32, 1<<width+1), shift: uint(64 - width)}
	r.count(shares, perWeight)
	r.place(shares, perWeight)
	r.sort()
	for n, p := range r.points { // a tie of positions went by the order of the keys
		r.points[n] = p&^indexMask | uint64(shares[p&indexMask].index)
	}
	return r
}

// count sets starts to where the points with each value of the high bits end.
func (r *ring) count(shares []share, perWeight float64) {
	for _, s := range shares {
		for k := range uint64(s.points(perWeight)) {
			r.starts[draw(s.seed, k)>>r.shift]++
		}
	}
	end := uint32(0)
	for b, n := range r.starts {
		end += n
		r.starts[b] = end
	}
}

// place puts each point among those with its high bits, from the last place to
// the first, which leaves starts as it must be.
func (r *ring) place(shares []share, perWeight float64) {
	for n, s := range shares {
		for k := range uint64(s.points(perWeight)) {
			p := draw(s.seed, k)
			b := p >> r.shift
			r.starts[b]--
			r.points[r.starts[b]] = p&^indexMask | uint64(n)
		}
	}
}

// sort is an insertion sort: no point is far from its place.
func (r *ring) sort() {
	for n, p := range r.points {
		for ; n > 0 && r.points[n-1] > p; n-- {
			r.points[n] = r.points[n-1]
		}
		r.points[n] = p
	}
}

func (r *ring) locate(point uint64) int32 {
	least := point &^ indexMask
	for _, p := range r.points[r.starts[point>>r.shift]:] {
		if p >= least {
			return int32(p & indexMask)
		}
	}
	return int32(r.points[0] & indexMask)
}

// points returns how many points the member has.
func (s share) points(perWeight float64) int {
	return max(1, int(math.Round(s.weight*perWeight)))
}

// pointsPerWeight returns how many points a member of weight 1 has if all weigh
// total. Where a bound of the ring decides, it changes with total in steps of 6
// to 12 %, so that most changes of the set leave the others' points as they are.
func pointsPerWeight(total float64, s Settings) float64 {
	switch {
	case unitPoints*total < float64(s.MinPoints):
		return roundBits(float64(s.MinPoints)/total, math.Ceil)
	case unitPoints*total > float64(s.MaxPoints):
		return roundBits(float64(s.MaxPoints)/total, math.Floor)
	}
	return unitPoints
}

// roundBits rounds x to four significant bits.
func roundBits(x float64, round func(float64) float64) float64 {
	frac, exp := math.Frexp(x)
	return math.Ldexp(round(frac*16), exp-4)
}
