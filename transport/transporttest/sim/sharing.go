package sim

import (
	"container/heap"
	"math"
	"time"
)

// sharing gives every job the same part of the cores, and at most one core.
//
// It counts the work that each job has got since the processor was last idle:
// all get the same, so a job that came when that was x and needs d is done when
// it is x+d, however many come and go in between. Only the first to be done has
// an event.
type sharing struct {
	server *server
	cores  float64
	jobs   ranking
	got    float64       // nanoseconds of work for each job
	since  time.Duration // when got was right
	next   *job          // whose event is planned

	turn  event // of the neighbours
	turns uint64
}

func newSharing(v *server) *sharing {
	s := &sharing{server: v, cores: v.kind.Burst}
	if !absent(v.kind.Busy) {
		s.awaitTurn(v.run.chance("neighbours begin "+v.name, uint64(v.lives)))
	}
	return s
}

func (s *sharing) add(j *job) bool {
	s.advance()
	j.due = s.got + float64(j.demand)
	heap.Push(&s.jobs, j)
	s.aim()
	return true
}

func (s *sharing) remove(j *job) {
	s.advance()
	heap.Remove(&s.jobs, j.rank)
	if s.next == j {
		s.next = nil
	}
	if len(s.jobs) == 0 {
		s.got = 0 // so that it stays small, and exact
	}
	s.aim()
}

func (s *sharing) retime(slow float64) {
	s.advance()
	s.server.slow = slow
	s.aim()
}

// speed returns the work that each job gets per time.
func (s *sharing) speed() float64 {
	return min(1, s.cores/float64(len(s.jobs))) / s.server.slow
}

// advance counts the work since the last time. It must come before every
// change of the speed.
func (s *sharing) advance() {
	now := s.server.run.now
	if len(s.jobs) > 0 {
		s.got += float64(now-s.since) * s.speed()
	}
	s.since = now
}

// aim plans the end of the job that will be done first.
func (s *sharing) aim() {
	a := &s.server.run.agenda
	if s.next != nil {
		a.cancel(&s.next.end)
		s.next = nil
	}
	if len(s.jobs) == 0 {
		return
	}
	j := s.jobs[0]
	s.next = j
	left := math.Ceil(max(0, j.due-s.got) / s.speed())
	a.plan(&j.end, s.since+nanoseconds(left), j)
}

// happen is a turn of the neighbours.
func (s *sharing) happen(*event) {
	if s.server.work != s {
		return // a life that is over
	}
	s.advance()
	s.turns++
	s.cores = s.server.kind.Burst
	if s.turns%2 == 1 {
		s.cores = s.server.kind.Cores
	}
	s.aim()
	s.awaitTurn(1)
}

// awaitTurn plans the end of what the neighbours are at, after that part of it.
func (s *sharing) awaitTurn(part float64) {
	v := s.server
	d := v.kind.Idle
	if s.turns%2 == 1 {
		d = v.kind.Busy
	}
	lasts := float64(d.At(v.run.chance("neighbours "+v.name, uint64(v.lives), s.turns)))
	v.run.agenda.plan(&s.turn, v.run.now+max(1, time.Duration(part*lasts)), s)
}

// ranking is a heap of jobs by when they will be done, and then by which came
// first.
type ranking []*job

func (r ranking) Len() int { return len(r) }

func (r ranking) Less(i, j int) bool {
	return r[i].due < r[j].due || r[i].due == r[j].due && r[i].arrived < r[j].arrived
}

func (r ranking) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].rank, r[j].rank = i, j
}

// Push implements [heap.Interface].
func (r *ranking) Push(j any) {
	j.(*job).rank = len(*r)
	*r = append(*r, j.(*job))
}

// Pop implements [heap.Interface].
func (r *ranking) Pop() any {
	last := len(*r) - 1
	j := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	return j
}
