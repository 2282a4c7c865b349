package experiments

import (
	"math"
	"slices"

	"github.com/gabion-go/gabion/examples/lab/bench"
)

// middle returns the median of the rows, figure by figure. They are of one
// policy with several seeds, and have the same figures.
func middle(rows []bench.Row) bench.Row {
	m := rows[0]
	for _, field := range []func(*bench.Row) **float64{
		func(r *bench.Row) **float64 { return &r.Success },
		func(r *bench.Row) **float64 { return &r.P50 },
		func(r *bench.Row) **float64 { return &r.P90 },
		func(r *bench.Row) **float64 { return &r.P99 },
		func(r *bench.Row) **float64 { return &r.P999 },
		func(r *bench.Row) **float64 { return &r.P9999 },
		func(r *bench.Row) **float64 { return &r.AttemptsPerCall },
		func(r *bench.Row) **float64 { return &r.ExtraRequests },
		func(r *bench.Row) **float64 { return &r.RecoveryS },
		func(r *bench.Row) **float64 { return &r.Goodput },
	} {
		if *field(&m) != nil {
			*field(&m) = new(median(rows, func(r *bench.Row) float64 { return **field(r) }))
		}
	}
	m.Extra = slices.Clone(m.Extra)
	for i := range m.Extra {
		m.Extra[i].Value = median(rows, func(r *bench.Row) float64 { return r.Extra[i].Value })
	}
	return m
}

// median returns the median of one figure, in which -1, never, is the most.
func median(rows []bench.Row, figure func(*bench.Row) float64) float64 {
	values := make([]float64, len(rows))
	for i := range rows {
		values[i] = figure(&rows[i])
		if values[i] < 0 {
			values[i] = math.Inf(1)
		}
	}
	slices.Sort(values)
	v := (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	if math.IsInf(v, 1) {
		return -1
	}
	return v
}
