package report

import (
	"cmp"
	"iter"
	"math"
	"time"
)

// data is what a Recorder had when it made a report. Nothing in it changes any
// more: the reports of slices share it.
type data struct {
	name     string // of the run
	seed     uint64
	names    []string
	keep     bool
	calls    list[call]
	attempts list[attempt]
	served   list[served]
	replicas map[replica]cells
	events   []Event // in order
	seconds  int     // how many there are until everything has started
}

// window says what of data a report is about.
type window struct {
	// start and end are what the report says it covers.
	start, end time.Duration
	// from and to are what it does cover. At the edges of a run they go beyond
	// start and end, so that nothing that was recorded is lost.
	from, to time.Duration
	// service limits a report to the calls of one; "" is all.
	service string
}

// everything is the window of a run that ends at end.
func everything(end time.Duration) window {
	return window{end: end, from: math.MinInt64, to: math.MaxInt64}
}

// between cuts w down to [from, to).
func (w window) between(from, to time.Duration) window {
	if from > w.start {
		w.start = min(from, w.end)
		w.from = w.start
	}
	if to < w.end {
		w.end = max(to, w.start)
		w.to = w.end
	}
	return w
}

func (w window) has(t time.Duration) bool { return w.from <= t && t < w.to }

// callsIn yields the calls in w.
func (d *data) callsIn(w window) iter.Seq[*call] {
	return func(yield func(*call) bool) {
		for c := range d.calls.all() {
			if w.has(c.start) && d.of(c.service, w) && !yield(c) {
				return
			}
		}
	}
}

// of reports whether w is about the service.
func (d *data) of(service name, w window) bool {
	return w.service == "" || d.names[service] == w.service
}

// compareEvents orders events by time; at one time a cause comes before what it
// brings about.
func compareEvents(a, b Event) int {
	rank := func(e Event) int {
		if e.Kind == Fault || e.Kind == Heal {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Detail, b.Detail))
}

// countSeconds returns how many seconds it takes until all calls, attempts and
// served requests have started.
func (d *data) countSeconds() int {
	n := 0
	for c := range d.calls.all() {
		n = max(n, second(c.start)+1)
	}
	for _, c := range d.replicas {
		n = max(n, c.end())
	}
	return n
}

// secondsIn returns the seconds that w touches: first and those up to, but not,
// last.
func (d *data) secondsIn(w window) (first, last int) {
	if w.to == math.MaxInt64 {
		last = d.seconds
	}
	last = max(last, second(w.end+time.Second-1))
	return min(second(w.start), last), last
}
