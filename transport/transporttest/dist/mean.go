package dist

import "time"

// MeanOf returns the mean of what [Dist.At] gives, after Min and Max have cut
// the distribution. Like At it says nothing about an invalid Dist.
func (d Dist) MeanOf() time.Duration {
	switch d.kind() {
	case KindConstant:
		return d.Mean
	case KindUniform:
		return d.Min + (d.Max-d.Min)/2
	case KindQuantiles:
		return meanOfLines(d.Quantiles)
	}
	c := d.curve()
	if c == nil {
		return 0
	}
	return toDuration(c.mean(d.bounds()))
}

// meanOfLines returns the mean of the lines through q, which are level before
// the first and after the last.
func meanOfLines(q []Quantile) time.Duration {
	if len(q) == 0 {
		return 0
	}
	first, last := q[0], q[len(q)-1]
	sum := first.Q*float64(first.D) + (1-last.Q)*float64(last.D)
	for i := 1; i < len(q); i++ {
		sum += (q[i].Q - q[i-1].Q) * (float64(q[i].D) + float64(q[i-1].D)) / 2
	}
	return toDuration(sum)
}
