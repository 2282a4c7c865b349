package sim

import (
	"context"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// origin is the moment at which a run begins, for what wants the time of day.
var origin = time.Unix(0, 0)

// call is one call on its way, step by step as in transport's client.
type call struct {
	caller   *caller
	stream   *stream
	worker   *worker // of a closed loop
	n        int     // of the stream
	start    time.Duration
	deadline time.Duration
	due      time.Duration // the caller's own deadline; 0 if it has none
	permit   breaker.Permit
	attempts int
	status   int
	retry    event

	firstSent time.Duration
	racing    *race // while an attempt is under way that may be hedged
	hedged    bool  // there has been a hedge
	overtook  bool  // and it was faster than an attempt that was under way

	tried        []*balance.Endpoint
	triedSpace   [4]*balance.Endpoint
	triedServers []int // for a Picker
}

func (c *caller) begin(s *stream, n int, w *worker) {
	r := c.run
	k := &call{caller: c, stream: s, worker: w, n: n, start: r.now, deadline: r.now + c.policy.Timeout}
	k.tried = k.triedSpace[:0]
	if t := s.load.Timeout; t > 0 {
		k.due = r.now + t
		k.deadline = min(k.deadline, k.due)
	}
	if !c.bulkhead.TryAcquire() {
		k.record(false, report.ErrRejected)
		return
	}
	var err error
	if k.permit, err = c.breaker.Allow(background); err != nil {
		c.bulkhead.Release()
		k.record(false, report.ErrRejected)
		return
	}
	if c.hedger != nil {
		c.hedger.Began()
	}
	k.attempt()
}

// happen is the end of the wait before a retry.
func (k *call) happen(*event) { k.attempt() }

// attempt picks a server and sends the request there.
func (k *call) attempt() {
	c := k.caller
	a := &attempt{call: k, start: c.run.now, kind: "first"}
	if k.attempts > 0 {
		a.kind = "retry"
	}
	if err := k.pick(a); err != nil {
		k.finish(err, report.ErrRejected)
		return
	}
	if k.attempts == 0 {
		k.firstSent = a.start
	}
	if late, ok := k.mayHedge(a); ok {
		k.race(a, late)
	}
	k.begin(a)
}

// begin sends a, whose server has been picked.
func (k *call) begin(a *attempt) {
	c := k.caller
	k.attempts++
	a.n = k.attempts
	c.run.agenda.plan(&a.timeout, min(a.start+c.policy.AttemptTimeout, k.deadline), a)
	a.send()
}

// pick chooses the server of a.
func (k *call) pick(a *attempt) error {
	c := k.caller
	if c.picker != nil {
		i := c.picker.Pick(k.triedServers)
		if i < 0 {
			return balance.ErrNoInstances
		}
		k.triedServers = append(k.triedServers, i)
		a.server = c.service.servers[i]
		a.addr = a.server.addr
		return nil
	}
	e, err := c.balancer.Pick(k.tried)
	if err != nil {
		return err
	}
	k.tried = append(k.tried, e)
	a.endpoint, a.addr = e, e.Addr()
	a.server = c.service.byAddr[a.addr]
	return nil
}

// answered takes in how an attempt ended: the call is over, or goes on.
func (k *call) answered(a *attempt) {
	k.caller.noteBusy(a)
	if k.racing != nil && !k.racing.arrived(a) {
		return
	}
	wait, again := k.again(a)
	a.done()
	if again {
		k.caller.run.agenda.plan(&k.retry, k.caller.run.now+wait, k)
		return
	}
	k.status = a.status
	switch {
	case a.err != "" && k.gone():
		k.finish(context.Canceled, a.err)
	case a.shed:
		k.finish(errBusy, a.err)
	case a.err != "" || a.status >= 500:
		k.finish(errServer, a.err)
	default:
		k.caller.budget.Success()
		if now := k.caller.run.now; k.caller.picker == nil {
			k.caller.floor.Record(origin.Add(now), now-a.start)
		}
		k.measure(a)
		k.finish(nil, a.err)
	}
}

// gone reports whether the caller has given up.
func (k *call) gone() bool { return k.due > 0 && k.caller.run.now >= k.due }

// again decides whether another attempt follows, and after which wait. It pays
// for the attempt from the budget.
func (k *call) again(a *attempt) (time.Duration, bool) {
	c := k.caller
	p := &c.policy.Retry
	if !a.retryable || k.attempts >= p.MaxAttempts() {
		return 0, false
	}
	wait := p.BackoffFrom(k.attempts, c.rand)
	if a.rest > 0 && !(a.shed && k.othersLeft()) {
		wait = max(wait, retry.JitterUpFrom(a.rest, c.rand))
	}
	if !k.leaves(wait) {
		return 0, false
	}
	cost := retry.CostRetry
	if a.outcome == balance.Timeout {
		cost = retry.CostTimeout
	}
	return wait, c.budget.Take(cost)
}

// leaves reports whether after a wait there is time for one more attempt, as in
// transport.
func (k *call) leaves(wait time.Duration) bool {
	now := k.caller.run.now
	return k.deadline-now >= wait+k.caller.floor.Needed(origin.Add(now))
}

// othersLeft reports whether there is a server that was not tried yet.
func (k *call) othersLeft() bool {
	c := k.caller
	if c.picker != nil {
		return len(c.service.list.servers) > len(k.triedServers)
	}
	return c.balancer.Stats().Available > len(k.tried)
}

// finish ends a call that was admitted. err is for the breaker, class for the
// report.
func (k *call) finish(err error, class string) {
	k.permit.Done(err)
	k.caller.bulkhead.Release()
	k.record(err == nil && k.status < 400, class)
}

// record ends a call.
func (k *call) record(ok bool, class string) {
	c := k.caller
	r := c.run
	due := k.due
	if due == 0 {
		due = k.deadline
	}
	r.recorder.Call(report.Call{
		Client: c.name, Service: c.service.name, Route: k.stream.load.Method + " " + k.stream.load.Path,
		N: k.n, Start: k.start, End: r.now, Status: k.status, Err: class, OK: ok, Attempts: k.attempts, Deadline: due,
	})
	r.open--
	if k.worker != nil {
		k.worker.ended(k.start)
	}
}
