package bench

import "math"

// scale places values between 0 and 1.
type scale struct {
	low, high float64
	log       bool
}

// scaleOf returns a scale from zero, or a logarithmic one if the values are too
// far apart for that. Of shares that are all above 90 % the rest is shown.
func scaleOf(p points) scale {
	least, low, high := math.Inf(1), math.Inf(1), 0.0
	for _, v := range p {
		x := v.figure.Value
		least, high = min(least, x), max(high, x)
		if x > 0 {
			low = min(low, x)
		}
	}
	switch {
	case high == 0:
		return scale{0, 1, false}
	case p[0].figure.Share && least > 0.9:
		return scale{0.9, 1, false}
	case p[0].figure.Share:
		return scale{0, high, false}
	case high/low > 50:
		return scale{math.Pow10(int(math.Floor(math.Log10(low)))), high, true}
	}
	return scale{0, high, false}
}

func (s scale) part(v float64) float64 {
	if s.log {
		if v <= s.low {
			return 0
		}
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return max(0, (v-s.low)/(s.high-s.low))
}

// ticks returns round values for the lines of a grid.
func (s scale) ticks() []float64 {
	if s.log {
		var list []float64
		for v := s.low; v <= s.high*1.001; v *= 10 {
			list = append(list, v)
		}
		return list
	}
	step := roundStep((s.high - s.low) / 5)
	var list []float64
	for i := 0; s.low+float64(i)*step <= s.high*1.001; i++ {
		list = append(list, s.low+float64(i)*step)
	}
	return list
}

// roundStep returns the next of 1, 2, 5, 10 and so on that is not below x.
func roundStep(x float64) float64 {
	scale := math.Pow10(int(math.Floor(math.Log10(x))))
	for _, m := range []float64{1, 2, 5} {
		if x <= m*scale*1.001 {
			return m * scale
		}
	}
	return 10 * scale
}
