package transporttest

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// A cpu is shared by all who work on it at once: with n of them on c cores each
// gets min(1, c/n) of a core. Source: processor sharing, Kleinrock, "Time-shared
// Systems: A Theoretical Treatment", JACM 14(2), 1967.
type cpu struct {
	cores float64

	mu       sync.Mutex
	given    float64 // nanoseconds of work that each job has got since the beginning
	at       time.Time
	jobs     jobs
	sequence uint64
	alarm    *time.Timer
	closed   bool
}

// job is done when given reaches until.
type job struct {
	until    float64
	sequence uint64
	done     chan struct{}
	rest     time.Duration // to wait still when done
	index    int           // in the heap; negative when out of it
}

func newCPU(cores float64) *cpu { return &cpu{cores: cores, at: time.Now()} }

// work returns when d of work has been done, or ctx has ended.
func (c *cpu) work(ctx context.Context, d time.Duration) error {
	j := c.begin(d)
	select {
	case <-j.done:
		time.Sleep(j.rest)
		return nil
	case <-ctx.Done():
		c.abandon(j)
		return context.Cause(ctx)
	}
}

func (c *cpu) begin(d time.Duration) *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	c.sequence++
	j := &job{until: c.given + float64(d), sequence: c.sequence, done: make(chan struct{})}
	if c.closed {
		close(j.done)
		j.index = -1
		return j
	}
	heap.Push(&c.jobs, j)
	c.arm()
	return j
}

func (c *cpu) abandon(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j.index < 0 {
		return
	}
	c.advance()
	heap.Remove(&c.jobs, j.index)
	c.arm()
}

// advance gives every job its share of the time since the last advance. The
// lock must be held, here and below.
func (c *cpu) advance() {
	now := time.Now()
	if n := len(c.jobs); n > 0 {
		c.given += float64(now.Sub(c.at)) * c.share()
	}
	c.at = now
}

func (c *cpu) share() float64 { return min(1, c.cores/float64(len(c.jobs))) }

// arm sets the alarm for the next job to end.
func (c *cpu) arm() {
	if len(c.jobs) == 0 {
		if c.alarm != nil {
			c.alarm.Stop()
		}
		return
	}
	left := (c.jobs[0].until - c.given) / c.share()
	after := time.Duration(min(left, math.MaxInt64/2)) + 1 // rounded up: never woken in vain
	if c.alarm == nil {
		c.alarm = time.AfterFunc(after, c.ring)
		return
	}
	c.alarm.Reset(after)
}

func (c *cpu) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	for len(c.jobs) > 0 && c.jobs[0].until <= c.given {
		close(heap.Pop(&c.jobs).(*job).done)
	}
	c.arm()
}

// release ends the contention: all that is under way is done at once.
func (c *cpu) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for rank := time.Duration(0); len(c.jobs) > 0; rank++ {
		j := heap.Pop(&c.jobs).(*job)
		j.rest = rank // a nanosecond apart, so that their order is no chance
		close(j.done)
	}
	c.arm()
}

// jobs is a heap by the end of the work.
type jobs []*job

func (h jobs) Len() int { return len(h) }

func (h jobs) Less(i, j int) bool {
	if h[i].until != h[j].until {
		return h[i].until < h[j].until
	}
	return h[i].sequence < h[j].sequence
}

func (h jobs) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *jobs) Push(x any) {
	j := x.(*job)
	j.index = len(*h)
	*h = append(*h, j)
}

// Pop is for package heap.
func (h *jobs) Pop() any {
	all := *h
	j := all[len(all)-1]
	j.index = -1
	*h = all[:len(all)-1]
	return j
}
