package sim

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// server is one server. Counts of what it suffers from go up and down with the
// changes that overlap.
type server struct {
	run     *run
	service *service
	kind    *Servers
	name    string
	number  int // in the service
	addr    string
	lives   int

	absent     int // from the list
	down       int
	hanging    int
	failures   []*Change // of kind Fail, the newest last
	slows      []float64 // the factors of kind Slow
	slow       float64   // their product
	restarting bool

	limiter *limit.Adaptive // nil if there is none
	work    processor
	jobs    []*job // those that are here, in no order that matters
	arrived uint64
}

// processor works on jobs. It plans the event job.end for when one is done.
type processor interface {
	// add takes a job and reports whether there was room.
	add(*job) bool
	// remove takes out a job, done or not.
	remove(*job)
	// retime makes the server's slow what is given.
	retime(slow float64)
}

func numbered(name string, i int) string { return name + "-" + strconv.Itoa(i) }

func newServer(s *service, g *Servers, i int) *server {
	v := &server{run: s.run, service: s, kind: g, name: numbered(g.Name, i), number: len(s.servers), slow: 1}
	s.rename(v)
	v.start()
	return v
}

// start begins a life without a past.
func (v *server) start() {
	if v.kind.Limit != nil {
		v.limiter, _ = limit.NewAdaptive(*v.kind.Limit) // Config.Validate has seen to it
	}
	switch v.kind.Kind {
	case Sharing:
		v.work = newSharing(v)
	case Queue:
		v.work = &fifo{server: v}
	default:
		v.work = delay{v}
	}
}

// crash ends a life: what is under way gets no answer.
func (v *server) crash() {
	jobs := v.jobs
	v.jobs = nil
	for _, j := range jobs {
		v.run.agenda.cancel(&j.end)
		j.waiter, j.attempt.job = nil, nil
	}
	v.start()
	for _, j := range jobs { // not before all is clean: a client may come back at once
		j.attempt.fail(report.ErrReset)
	}
}

// arrive takes a request.
func (v *server) arrive(a *attempt) {
	v.arrived++
	switch {
	case v.down > 0:
		a.fail(report.ErrRefused)
		return
	case v.hanging > 0:
		return // the client's time ends it
	}
	if status := v.failure(); status != 0 {
		a.answer(status)
		return
	}
	v.accept(a)
}

// failure returns the status that the request gets instead of an answer, or 0.
func (v *server) failure() int {
	for i := len(v.failures) - 1; i >= 0; i-- {
		f := v.failures[i]
		if f.Share >= 1 || v.run.chance("fail "+v.name, v.arrived, uint64(i)) < f.Share {
			return f.Status
		}
	}
	return 0
}

// accept makes a job of a request and lets it in, or shows it the door.
func (v *server) accept(a *attempt) {
	k := a.call
	u := v.run.chance("work", k.stream.index, uint64(k.n), uint64(a.n))
	j := &job{attempt: a, server: v, arrived: v.run.now, demand: v.kind.Time.At(u), place: len(v.jobs)}
	a.job = j
	v.jobs = append(v.jobs, j)
	if v.limiter == nil {
		j.begin()
		return
	}
	ticket, w, err := v.limiter.Enter(limit.Critical, j.told)
	switch {
	case err != nil:
		j.refused(err)
	case w != nil:
		j.waiter = w
		v.run.agenda.plan(&j.end, min(v.run.now+w.Patience(), k.deadline), j)
	default:
		j.told(ticket, nil)
	}
}

// job is a request that a server has.
type job struct {
	attempt *attempt
	server  *server
	place   int // in server.jobs
	arrived time.Duration
	demand  time.Duration // of a server that does nothing else
	waiter  *limit.Waiter // while it waits for a place
	ticket  limit.Ticket
	end     event // of the wait for a place, or of the work

	// Of the processors.
	working bool
	removed bool
	due     float64 // see sharing
	rank    int     // in sharing.jobs
}

// told is what the limiter decided.
func (j *job) told(t limit.Ticket, err error) {
	j.waiter = nil
	j.server.run.agenda.cancel(&j.end)
	if err != nil {
		j.refused(err)
		return
	}
	j.ticket = t
	j.begin()
}

// refused answers that the limiter did not let the request in.
func (j *job) refused(err error) {
	j.leave()
	var rest time.Duration
	if shed, ok := err.(*limit.ShedError); ok { //nolint:errorlint // as Enter returned it
		rest = shed.RetryAfter
	}
	j.attempt.shedding(rest)
}

// begin gives the job to the processor.
func (j *job) begin() {
	if !j.server.work.add(j) {
		j.leave()
		j.ticket.Release(limit.Ignored)
		j.attempt.answer(http.StatusServiceUnavailable)
	}
}

// happen ends the wait for a place, or the work.
func (j *job) happen(*event) {
	if w := j.waiter; w != nil {
		j.waiter = nil
		if err := w.Leave(); err != nil {
			j.refused(err)
		}
		return
	}
	j.finished()
}

// finished answers.
func (j *job) finished() {
	j.server.work.remove(j)
	j.leave()
	j.served()
	outcome := limit.Succeeded
	switch {
	case j.late():
		outcome = limit.Dropped
	case j.attempt.over:
		outcome = limit.Ignored
	}
	j.attempt.answer(http.StatusOK)
	j.ticket.Release(outcome)
}

// late reports whether the time of the call is over.
func (j *job) late() bool { return j.server.run.now >= j.attempt.call.deadline }

// abandoned is called when the client has gone.
func (j *job) abandoned() {
	v := j.server
	if w := j.waiter; w != nil { // a server's queue notices
		j.waiter = nil
		_ = w.Leave() // nobody wants the refusal
		v.run.agenda.cancel(&j.end)
		j.leave()
		return
	}
	if !v.kind.Cancels {
		return
	}
	v.run.agenda.cancel(&j.end)
	v.work.remove(j)
	j.leave()
	j.served()
	outcome := limit.Ignored
	if j.late() {
		outcome = limit.Dropped
	}
	j.ticket.Release(outcome)
}

// served puts the job into the report.
func (j *job) served() {
	v, a := j.server, j.attempt
	v.run.recorder.Served(report.Served{
		Service: v.service.name, Replica: v.name, Start: j.arrived, End: v.run.now,
		Status: http.StatusOK, Late: j.late() || a.over, Work: j.demand,
	})
}

// leave takes the job off the server's books.
func (j *job) leave() {
	v := j.server
	last := len(v.jobs) - 1
	v.jobs[j.place] = v.jobs[last]
	v.jobs[j.place].place = j.place
	v.jobs[last] = nil
	v.jobs = v.jobs[:last]
	j.attempt.job = nil
}
