package sim

import (
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// calmFor is how long a service is not hedged after one of its servers was too
// busy, as in transport.
const calmFor = time.Second

// newHedger returns what decides about hedges; nil if nothing is hedged.
func newHedger(g *Clients) (*retry.Hedger, error) {
	if !g.Policy.Hedge.On || g.Picker != "" {
		return nil, nil
	}
	return retry.NewHedger(g.Policy.Hedge)
}

// mayHedge returns after how long a is late, which is about to begin, if it may
// then be hedged.
func (k *call) mayHedge(a *attempt) (retry.Delays, bool) {
	c := k.caller
	if c.hedger == nil || k.hedged || !k.stream.idempotent || k.attempts+1 >= max(2, c.policy.Retry.MaxAttempts()) {
		return retry.Delays{}, false
	}
	late, ok := c.hedger.Delays()
	return late, ok && a.start+late.First+c.floor.Needed(origin.Add(a.start)) < k.deadline
}

// race is an attempt that may become late, and its hedge.
type race struct {
	call    *call
	start   time.Duration
	moments []time.Duration // at which the attempt is late, after its start
	late    event
	running []*attempt
}

// race begins the race of the attempt first.
func (k *call) race(first *attempt, late retry.Delays) {
	r := &race{call: k, start: first.start, moments: []time.Duration{late.First, late.Second}, running: []*attempt{first}}
	k.racing = r
	r.await()
}

// await plans the next moment at which the attempt is late.
func (r *race) await() {
	run := r.call.caller.run
	run.agenda.plan(&r.late, max(run.now, r.start+r.moments[0]), r)
}

// happen is that the attempt is late.
func (r *race) happen(*event) {
	second := len(r.moments) == 1
	r.moments = r.moments[1:]
	if !r.hedge(second) && len(r.moments) > 0 {
		r.await()
	}
}

// hedge makes a hedge if everything is in favour of it.
func (r *race) hedge(second bool) bool {
	k := r.call
	c := k.caller
	stats := c.balancer.Stats()
	if stats.Panic || stats.Available <= len(k.tried) || c.throttled() || !k.leaves(0) {
		return false
	}
	if !c.hedger.Take(second) || !c.budget.Take(retry.CostHedge) {
		return false
	}
	a := &attempt{call: k, start: c.run.now, kind: "hedge"}
	tried := slices.Clone(k.tried)
	if err := k.pick(a); err != nil {
		return false
	}
	if slices.Contains(tried, a.endpoint) {
		k.tried = tried
		a.endpoint.Done(balance.Result{Outcome: balance.Cancelled})
		return false
	}
	k.hedged = true
	r.running = append(r.running, a)
	k.begin(a)
	return true
}

// throttled reports whether the service has enough to do, or is not well.
func (c *caller) throttled() bool {
	return c.budget.Throttled() || c.breaker.State() != breaker.Closed || c.run.now < c.calm
}

// noteBusy stops hedging for a while when a server is too busy.
func (c *caller) noteBusy(a *attempt) {
	if a.status == http.StatusTooManyRequests || a.shed || a.rest > 0 {
		c.calm = max(c.calm, c.run.now+max(a.rest, calmFor))
	}
}

// arrived takes in an attempt that has ended and reports whether that ends the
// race. The one that still runs then is cancelled.
func (r *race) arrived(a *attempt) bool {
	r.running = slices.DeleteFunc(r.running, func(o *attempt) bool { return o == a })
	won := a.err == "" && a.status < 500 && a.status != http.StatusTooManyRequests
	if len(r.running) > 0 && !won {
		a.done()
		return false
	}
	k := r.call
	k.racing = nil
	k.caller.run.agenda.cancel(&r.late)
	k.overtook = len(r.running) > 0 && a.kind == "hedge"
	for _, other := range r.running {
		other.overtaken()
	}
	return true
}

// overtaken ends an attempt that another one of its call has overtaken.
func (a *attempt) overtaken() {
	r := a.call.caller.run
	a.over = true
	r.agenda.cancel(&a.timeout)
	r.agenda.cancel(&a.transit)
	if a.job != nil {
		a.job.abandoned()
	}
	a.status, a.err, a.shed, a.rest = 0, report.ErrCancelled, false, 0
	a.outcome = balance.Cancelled
	a.done()
}

// measure tells the hedger how long the call's first attempt took, or had taken
// when a won.
func (k *call) measure(a *attempt) {
	h := k.caller.hedger
	if h == nil || a.kind == "retry" || a.kind == "hedge" && !k.overtook {
		return
	}
	h.Record(k.caller.run.now - k.firstSent)
}
