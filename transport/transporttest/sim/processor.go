package sim

import (
	"math"
	"time"
)

// delay takes as long for each job as if it were alone.
type delay struct{ server *server }

func (d delay) add(j *job) bool {
	d.server.run.agenda.plan(&j.end, d.server.run.now+d.server.stretched(j.demand), j)
	return true
}

func (d delay) remove(*job)         {}
func (d delay) retime(slow float64) { d.server.slow = slow }

// stretched returns how long work takes at the server's present speed.
func (v *server) stretched(d time.Duration) time.Duration {
	if v.slow == 1 {
		return d
	}
	return nanoseconds(float64(d) * v.slow)
}

// nanoseconds returns d, or a time that no run reaches.
func nanoseconds(d float64) time.Duration {
	return time.Duration(min(d, math.MaxInt64/4))
}

// fifo has some workers, each with one job at a time, and a line in front.
type fifo struct {
	server  *server
	busy    int
	line    []*job // oldest first, with those that were removed since
	waiting int    // without those
}

func (q *fifo) add(j *job) bool {
	k := q.server.kind
	switch {
	case q.busy < k.Workers:
		q.begin(j)
	case k.Backlog != 0 && q.waiting >= max(0, k.Backlog):
		return false
	default:
		q.line = append(q.line, j)
		q.waiting++
	}
	return true
}

func (q *fifo) begin(j *job) {
	q.busy++
	j.working = true
	r := q.server.run
	r.agenda.plan(&j.end, r.now+q.server.stretched(j.demand), j)
}

func (q *fifo) remove(j *job) {
	j.removed = true
	if !j.working {
		q.waiting--
		return
	}
	q.busy--
	for len(q.line) > 0 && q.busy < q.server.kind.Workers {
		next := q.line[0]
		q.line[0] = nil
		q.line = q.line[1:]
		if !next.removed {
			q.waiting--
			q.begin(next)
		}
	}
}

func (q *fifo) retime(slow float64) { q.server.slow = slow }
