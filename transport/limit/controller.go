package limit

import "time"

// controller finds the limit. The limiter's lock guards it.
type controller struct {
	current  float64
	min, max float64
}

func newController(s Settings) controller {
	return controller{current: float64(s.Initial), min: float64(s.Min), max: float64(s.Max)}
}

func (c *controller) limit() int { return int(c.current) }

func (c *controller) admitted(int) {}

func (c *controller) full() {}

func (c *controller) finished(time.Time, time.Time, Outcome) {}
