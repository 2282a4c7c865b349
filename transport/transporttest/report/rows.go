package report

import "time"

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
// row into its own part of one slice, and counts row after row in the same
// histogram.
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
	l := newLatencies()
	for i := range rows {
		l.reset()
		for _, d := range parts[&rows[i]] {
			l.add(d)
		}
		rows[i].P50, rows[i].P99 = l.quantile(0.5), l.quantile(0.99)
	}
}
