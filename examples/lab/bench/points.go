package bench

import "slices"

// point is a figure of a row.
type point struct {
	row    Row
	figure Figure
}

type points []point

// loads returns the different loads in ascending order.
func (p points) loads() []float64 {
	var list []float64
	for _, v := range p {
		list = append(list, v.row.Load)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// variants returns the different variants in the order of the rows.
func (p points) variants() []string {
	return p.names(func(r *Row) string { return r.Variant })
}

// policies returns the different policies in the order of the rows.
func (p points) policies() []string {
	return p.names(func(r *Row) string { return r.Policy })
}

func (p points) names(of func(*Row) string) []string {
	var list []string
	for i := range p {
		if n := of(&p[i].row); !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// of returns the points of one variant.
func (p points) of(variant string) points {
	var some points
	for _, v := range p {
		if v.row.Variant == variant {
			some = append(some, v)
		}
	}
	return some
}
