package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Report says what a run, or a slice of one, came to. It is plain data. Its
// methods do not change it and may be called by any number of goroutines.
type Report struct {
	// Name and Seed identify the run.
	Name string
	Seed uint64
	// Start is where the report begins, 0 unless it is a slice, and Duration
	// how much time it covers.
	Start, Duration time.Duration

	// Calls have ended, OK of them well. Degraded ones were answered, but not
	// as they should be.
	Calls, OK, Degraded int
	// Success is OK / Calls, and 0 without calls.
	Success float64
	// Goodput is the part of the calls that were OK by their deadline.
	Goodput float64
	// P50 to P9999 are quantiles of the latency, 50 % to 99.99 %.
	P50, P90, P99, P999, P9999 time.Duration
	// Clamped is how many latencies were below 1 µs or above 1 h.
	Clamped int
	// AttemptsPerCall is how many requests went out for a call on average.
	AttemptsPerCall float64
	// ExtraRequests is how many of those were not the first of their call, for
	// each call: 0.1 is a tenth more load than without retries and hedges.
	ExtraRequests float64
	// Errors counts the calls that were not OK by the class of their error or,
	// if they have none, by their status.
	Errors map[string]int
	// Late is how many requests servers worked on for nobody, and LateWork how
	// long.
	Late     int
	LateWork time.Duration

	// ByReplica is in the order of Service and Replica.
	ByReplica []Replica
	// PerSecond has a row for every second that the report touches.
	PerSecond []Second
	// Events are in the order of time.
	Events []Event

	data      *data
	window    window
	latencies *latencies
}

// Replica is what one replica of a service did. In a slice of a report it
// counts whole seconds: from the one in which the slice begins to the one in
// which it ends.
type Replica struct {
	Service, Replica string
	// Attempts reached it, or tried to, and OK of them went well.
	Attempts, OK int
	// Late is how many requests it worked on for nobody.
	Late int
	// PerSecond has the attempts, row by row as Report.PerSecond.
	PerSecond []int
}

// Second is what started within one second.
type Second struct {
	// At is when the second begins.
	At time.Duration
	// Offered is how many calls started: OK of them went well and Failed did
	// not, whenever they ended.
	Offered, OK, Failed int
	// Attempts is how many requests went out.
	Attempts int
	// P50 and P99 are quantiles of the latency.
	P50, P99 time.Duration
}

// newReport works out the report of what is in w.
func newReport(d *data, w window) *Report {
	r := &Report{
		Name: d.name, Seed: d.seed, Start: w.start, Duration: w.end - w.start, Errors: map[string]int{},
		data: d, window: w, latencies: newLatencies(),
	}
	r.countCalls()
	r.countReplicas()
	r.P50, r.P90, r.P99 = r.Quantile(0.5), r.Quantile(0.9), r.Quantile(0.99)
	r.P999, r.P9999 = r.Quantile(0.999), r.Quantile(0.9999)
	r.Clamped = r.latencies.clamped
	r.PerSecond = r.rows(time.Second)
	for _, e := range d.events {
		if w.has(e.At) {
			r.Events = append(r.Events, e)
		}
	}
	return r
}

func (r *Report) countCalls() {
	var attempts, extra, good int
	for c := range r.data.callsIn(r.window) {
		r.Calls++
		r.latencies.add(c.end - c.start)
		attempts += int(c.attempts)
		extra += max(0, int(c.attempts)-1)
		if c.degraded {
			r.Degraded++
		}
		if !c.ok {
			r.Errors[r.data.class(c)]++
			continue
		}
		r.OK++
		if c.deadline == 0 || c.end <= c.deadline {
			good++
		}
	}
	calls := float64(max(1, r.Calls))
	r.Success, r.Goodput = float64(r.OK)/calls, float64(good)/calls
	r.AttemptsPerCall, r.ExtraRequests = float64(attempts)/calls, float64(extra)/calls
}

// class returns under which name a failed call is counted.
func (d *data) class(c *call) string {
	switch {
	case d.names[c.err] != "":
		return d.names[c.err]
	case c.status != 0:
		return strconv.Itoa(int(c.status))
	}
	return ErrOther
}

func (r *Report) countReplicas() {
	first, last := r.data.secondsIn(r.window)
	for who, cells := range r.data.replicas {
		if !r.data.of(who.service, r.window) {
			continue
		}
		sum := cells.sum(first, last)
		r.Late += int(sum.late)
		r.LateWork += sum.work
		perSecond := make([]int, last-first)
		for i := range perSecond {
			perSecond[i] = int(cells.sum(first+i, first+i+1).attempts)
		}
		r.ByReplica = append(r.ByReplica, Replica{
			Service: r.data.names[who.service], Replica: r.data.names[who.name],
			Attempts: int(sum.attempts), OK: int(sum.ok), Late: int(sum.late), PerSecond: perSecond,
		})
	}
	slices.SortFunc(r.ByReplica, func(a, b Replica) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Replica, b.Replica))
	})
}

// Quantile returns the latency that the part q of the calls, 0 to 1, was not
// above. Without calls it is 0.
func (r *Report) Quantile(q float64) time.Duration { return r.latencies.quantile(q) }

// QuantileOK is Quantile of the calls that went well alone. It looks at all calls
// each time.
func (r *Report) QuantileOK(q float64) time.Duration {
	l := newLatencies()
	for c := range r.data.callsIn(r.window) {
		if c.ok {
			l.add(c.end - c.start)
		}
	}
	return l.quantile(q)
}

// Between returns the report of what started at from or later and before to, as
// offsets from the start of the run. Calls and events are cut there exactly.
// Attempts, and what servers did, are counted by whole seconds: all those that
// the slice touches.
func (r *Report) Between(from, to time.Duration) *Report {
	return newReport(r.data, r.window.between(from, to))
}

// Of returns the report of the calls to one service and of its replicas. Events
// are those of all.
func (r *Report) Of(service string) *Report {
	w := r.window
	w.service = service
	return newReport(r.data, w)
}
