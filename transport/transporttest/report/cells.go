package report

import (
	"slices"
	"time"
)

// cell counts what one replica did in one second.
type cell struct {
	attempts, ok, late uint32
	work               time.Duration // late work
}

func (c *cell) add(d cell) {
	c.attempts += d.attempts
	c.ok += d.ok
	c.late += d.late
	c.work += d.work
}

// cells are those of one replica, from its first second on.
type cells struct {
	first int
	list  []cell
}

// lastSecond bounds how far cells reach, about 12 days. What starts later
// counts in it.
const lastSecond = 1 << 20

// at returns the cell of the second in which t is.
func (c *cells) at(t time.Duration) *cell {
	s := second(t)
	if len(c.list) == 0 {
		c.first = s
	}
	if s < c.first {
		c.list = slices.Concat(make([]cell, c.first-s), c.list)
		c.first = s
	}
	if more := s - c.first + 1 - len(c.list); more > 0 {
		c.list = append(c.list, make([]cell, more)...)
	}
	return &c.list[s-c.first]
}

// end returns the second after the last.
func (c *cells) end() int { return c.first + len(c.list) }

// sum adds up the seconds from from on and before to.
func (c *cells) sum(from, to int) cell {
	var total cell
	for s := max(from, c.first); s < min(to, c.end()); s++ {
		total.add(c.list[s-c.first])
	}
	return total
}

// second returns the number of the second in which t is.
func second(t time.Duration) int {
	return min(int(max(t, 0)/time.Second), lastSecond)
}
