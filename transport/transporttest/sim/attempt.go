package sim

import (
	"net/http"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// attempt is one request of a call, and its answer.
type attempt struct {
	call     *call
	server   *server
	addr     string
	endpoint *balance.Endpoint // nil if a Picker chose
	kind     string
	n        int // of the call
	start    time.Duration
	timeout  event // the end of its time
	transit  event // the end of its way there or back
	back     bool  // it is on its way back
	over     bool  // the client waits no more
	job      *job  // while the server has it

	status    int
	err       string // class of the error, if there is no answer
	shed      bool   // refused before any work
	rest      time.Duration
	rif       int
	outcome   balance.Outcome
	retryable bool
}

// happen is the end of the attempt's time, or of a way through the network.
func (a *attempt) happen(e *event) {
	switch {
	case e == &a.timeout:
		a.timedOut()
	case a.back:
		a.end()
	default:
		a.arrive()
	}
}

// travel returns how long the way takes that begins now.
func (a *attempt) travel(way uint64) time.Duration {
	k := a.call
	r := k.caller.run
	return r.Network.At(r.chance("network", k.stream.index, uint64(k.n), uint64(a.n), way))
}

func (a *attempt) send() {
	if d := a.travel(0); d > 0 {
		r := a.call.caller.run
		r.agenda.plan(&a.transit, r.now+d, a)
		return
	}
	a.arrive()
}

func (a *attempt) arrive() {
	if a.server.addr != a.addr { // it was, in an earlier life
		a.fail(report.ErrRefused)
		return
	}
	a.server.arrive(a)
}

// answer is a response of the server.
func (a *attempt) answer(status int) {
	a.status = status
	a.reply()
}

// shedding is the response of a server that is too busy.
func (a *attempt) shedding(rest time.Duration) {
	a.shed, a.rest = true, rest
	a.answer(http.StatusServiceUnavailable)
}

// fail is the end of the connection.
func (a *attempt) fail(class string) {
	a.err = class
	a.reply()
}

// reply sends what there is back to the client.
func (a *attempt) reply() {
	a.rif = len(a.server.jobs)
	if a.over {
		return
	}
	a.back = true
	if d := a.travel(1); d > 0 {
		r := a.call.caller.run
		r.agenda.plan(&a.transit, r.now+d, a)
		return
	}
	a.end()
}

func (a *attempt) timedOut() {
	k := a.call
	a.status, a.err, a.rest, a.shed = 0, report.ErrTimeout, 0, false
	a.outcome = balance.Timeout // if it was the caller's time, too
	a.retryable = k.caller.run.now < k.deadline && k.stream.idempotent
	a.over = true
	k.caller.run.agenda.cancel(&a.transit)
	if a.job != nil {
		a.job.abandoned()
	}
	k.answered(a)
}

// end judges what came back, as transport does.
func (a *attempt) end() {
	k := a.call
	a.over = true
	k.caller.run.agenda.cancel(&a.timeout)
	p := &k.caller.policy.Retry
	a.rest = min(a.rest, p.RetryAfterCap())
	switch {
	case a.err == report.ErrRefused:
		a.outcome, a.retryable = balance.ConnectError, true
	case a.err != "":
		a.outcome, a.retryable = balance.Failure, k.stream.idempotent
	case a.shed || a.rest > 0:
		a.outcome = balance.Overload
		a.retryable = a.shed || p.Status(a.status) && k.stream.idempotent
	default:
		a.retryable = p.Status(a.status) && a.status != http.StatusTooManyRequests && k.stream.idempotent
		if a.status >= 500 {
			a.outcome = balance.Failure
		}
	}
	k.answered(a)
}

// done tells the balancer and the report.
func (a *attempt) done() {
	k := a.call
	c := k.caller
	now := c.run.now
	res := balance.Result{Outcome: a.outcome, Latency: now - a.start, Rest: a.rest}
	if a.endpoint != nil {
		if a.err == "" && !a.server.kind.Silent {
			a.endpoint.Report(balance.Load{RIF: a.rif})
		}
		a.endpoint.Done(res)
	} else {
		c.picker.Done(a.server.number, res)
	}
	c.run.recorder.Attempt(report.Attempt{
		Client: c.name, Service: c.service.name, Replica: a.server.name, N: k.n, Kind: a.kind,
		Start: a.start, End: now, Status: a.status, Err: a.err, OK: a.err == "" && a.status < 400,
	})
}
