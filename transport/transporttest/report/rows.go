package report

import (
	"math"
	"slices"
	"time"
)

// rows returns what started in each step of time, which is a number of whole
// seconds. Rows begin at multiples of step.
func (r *Report) rows(step time.Duration) []Second {
	first, last := r.data.secondsIn(r.window)
	width := int(step / time.Second)
	from := first / width
	rows := make([]Second, (last+width-1)/width-from)
	for i := range rows {
		rows[i].At = time.Duration(from+i) * step
	}
	row := func(second int) *Second {
		return &rows[max(0, min(second/width-from, len(rows)-1))]
	}
	if len(rows) == 0 {
		return rows
	}
	for c := range r.data.callsIn(r.window) {
		s := row(second(c.start))
		s.Offered++
		if c.ok {
			s.OK++
		} else {
			s.Failed++
		}
	}
	for _, replica := range r.ByReplica {
		for i, n := range replica.PerSecond {
			row(first + i).Attempts += n
		}
	}
	r.rowQuantiles(rows, row)
	return rows
}

// rowQuantiles sets P50 and P99 of rows. It sorts the latencies by row, each
// row into its own part of one slice: a row has few calls, and a histogram for
// each of thousands of rows would cost more than sorting them.
func (r *Report) rowQuantiles(rows []Second, row func(int) *Second) {
	parts := make(map[*Second][]time.Duration, len(rows))
	all := make([]time.Duration, r.Calls)
	for i := range rows {
		n := rows[i].Offered
		parts[&rows[i]], all = all[:0:n], all[n:]
	}
	for c := range r.data.callsIn(r.window) {
		s := row(second(c.start))
		parts[s] = append(parts[s], c.end-c.start)
	}
	for i := range rows {
		took := parts[&rows[i]]
		slices.Sort(took)
		rows[i].P50, rows[i].P99 = rank(took, 0.5), rank(took, 0.99)
	}
}

// rank returns the duration that the part q of sorted is not above, by the rank
// that the histogram takes; 0 if there are none.
func rank(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	n := int(math.Round(q * float64(len(sorted))))
	return inRange(sorted[max(0, n-1)])
}
