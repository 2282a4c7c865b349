package report

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Recorder takes down what happens in a run. It may be used by any number of
// goroutines at once, and starts none. A call takes 64 bytes; an attempt and a
// served request as much, or nothing beyond the counts of their second if
// [WithRecords] says so.
type Recorder struct {
	start time.Time
	name  string
	seed  uint64
	keep  bool

	mu       sync.Mutex
	names    names
	calls    list[call]
	attempts list[attempt]
	served   list[served]
	replicas map[replica]*cells
	events   []Event
}

// replica is one replica of a service.
type replica struct{ service, name name }

// Option changes a [Recorder].
type Option interface{ apply(*Recorder) }

type optionFunc func(*Recorder)

func (f optionFunc) apply(r *Recorder) { f(r) }

// WithName gives the reports the name of what was run. Default none.
func WithName(name string) Option {
	return optionFunc(func(r *Recorder) { r.name = name })
}

// WithSeed puts the seed that the run followed into the reports. Default 0.
func WithSeed(seed uint64) Option {
	return optionFunc(func(r *Recorder) { r.seed = seed })
}

// WithRecords says whether every attempt and every served request is kept, as
// [Report.Trace] needs it. Default true; without, a long run takes less memory.
func WithRecords(keep bool) Option {
	return optionFunc(func(r *Recorder) { r.keep = keep })
}

// New returns a Recorder of a run that began at start.
func New(start time.Time, opts ...Option) *Recorder {
	r := &Recorder{start: start, keep: true, replicas: map[replica]*cells{}}
	for _, o := range opts {
		o.apply(r)
	}
	return r
}

// Since returns the offset of t from the start of the run.
func (r *Recorder) Since(t time.Time) time.Duration { return t.Sub(r.start) }

// Call records a call that has ended.
func (r *Recorder) Call(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls.add(call{
		start: c.Start, end: c.End, deadline: c.Deadline, n: c.N,
		client: r.names.of(c.Client), service: r.names.of(c.Service), route: r.names.of(c.Route), err: r.names.of(c.Err),
		attempts: uint32(min(uint64(max(c.Attempts, 0)), math.MaxUint32)), status: int32(c.Status), ok: c.OK, degraded: c.Degraded,
	})
}

// Attempt records an attempt that has ended.
func (r *Recorder) Attempt(a Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := replica{r.names.of(a.Service), r.names.of(a.Replica)}
	c := r.cell(who, a.Start)
	c.attempts++
	if a.OK {
		c.ok++
	}
	if r.keep {
		r.attempts.add(attempt{
			start: a.Start, end: a.End, n: a.N, client: r.names.of(a.Client), service: who.service, replica: who.name,
			kind: r.names.of(a.Kind), err: r.names.of(a.Err), status: int32(a.Status), ok: a.OK,
		})
	}
}

// Served records a request that a server has finished with.
func (r *Recorder) Served(s Served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := replica{r.names.of(s.Service), r.names.of(s.Replica)}
	if c := r.cell(who, s.Start); s.Late {
		c.late++
		c.work += s.Work
	}
	if r.keep {
		r.served.add(served{
			start: s.Start, end: s.End, work: s.Work, service: who.service, replica: who.name, status: int32(s.Status), late: s.Late,
		})
	}
}

// Event records that something happened.
func (r *Recorder) Event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Report returns what has been recorded so far of a run that ends at end. It
// may be called again; later records do not change a report. What was recorded
// as having started at or after end counts too.
func (r *Recorder) Report(end time.Duration) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := &data{
		name: r.name, seed: r.seed,
		names: slices.Clone(r.names.list), keep: r.keep, calls: r.calls.snapshot(),
		attempts: r.attempts.snapshot(), served: r.served.snapshot(),
		replicas: make(map[replica]cells, len(r.replicas)), events: slices.Clone(r.events),
	}
	for who, c := range r.replicas {
		d.replicas[who] = cells{c.first, slices.Clone(c.list)}
	}
	d.seconds = d.countSeconds()
	slices.SortFunc(d.events, compareEvents)
	return newReport(d, everything(end))
}

// cell returns the counts of a replica in the second of t.
func (r *Recorder) cell(who replica, t time.Duration) *cell {
	c := r.replicas[who]
	if c == nil {
		c = &cells{}
		r.replicas[who] = c
	}
	return c.at(t)
}
