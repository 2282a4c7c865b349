package transport

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
)

// calmFor is how long a service is not hedged after one of its servers was too
// busy and did not say for how long: more requests are the last thing it needs.
const calmFor = time.Second

// errOvertaken ends an attempt when another one of its call has won.
var errOvertaken = errors.New("another attempt was faster")

// calmDown stops hedging for d.
func (s *service) calmDown(d time.Duration) {
	until := int64(time.Since(s.made) + d)
	for {
		old := s.calm.Load()
		if old >= until || s.calm.CompareAndSwap(old, until) {
			return
		}
	}
}

// throttled reports whether the service has enough to do, or is not well.
func (s *service) throttled() bool {
	return s.budget.Throttled() || s.holdsBack() || int64(time.Since(s.made)) < s.calm.Load()
}

// holdsBack reports whether calls are being refused by what guards the service:
// its throttle where that is on, whose circuit hears of nothing, or its circuit.
func (s *service) holdsBack() bool {
	if t := &s.plan.Load().policy.Throttle; t.On && !t.Shadow {
		return s.throttle.Rejecting() > 0
	}
	return s.breaker.State() != breaker.Closed
}

// mayHedge returns after how long a is late, if it may then be hedged: once for
// a call, and only what can do no harm a second time.
func (k *call) mayHedge(a *attempt) (retry.Delays, bool) {
	h := k.rules.hedger
	if h == nil || k.hedged || !k.idempotent || !k.body.repeatable() || k.req.Header["Upgrade"] != nil ||
		k.n >= max(2, k.rules.retry.MaxAttempts()) {
		return retry.Delays{}, false
	}
	late, ok := h.Delays()
	return late, ok && a.info.Start.Add(late.First+k.svc.floor.Needed(a.info.Start)).Before(k.deadline)
}

// measure tells the hedger how long a took until now, when it has succeeded or
// is being overtaken, if it is the call's first attempt.
func (k *call) measure(a *attempt, now time.Time) {
	if h := k.rules.hedger; h != nil && a.info.Kind == First {
		h.Record(now.Sub(a.info.Start))
	}
}

// race is an attempt and, if that is late, its hedge.
type race struct {
	call    *call
	running [2]*attempt // nil when it has ended
	done    chan *attempt
}

// race makes the attempt first, which has begun, and hedges it when it is late.
// The first that succeeds wins, and the other one is cancelled. One that fails
// leaves it to the other.
func (k *call) race(first *attempt, late retry.Delays) *attempt {
	r := &race{call: k, done: make(chan *attempt, 2)}
	defer r.cancel()
	r.start(0, first, first.request(k.body.next(&first.ctx)))
	moments := []time.Duration{late.First, late.Second}
	timer := time.NewTimer(time.Until(first.info.Start.Add(late.First)))
	defer timer.Stop()
	for {
		select {
		case a := <-r.done:
			if a = r.arrived(a); a != nil {
				return a
			}
		case <-timer.C:
			second := len(moments) == 1
			moments = moments[1:]
			if !k.hedge(r, second) && len(moments) > 0 {
				timer.Reset(time.Until(first.info.Start.Add(moments[0])))
			}
		}
	}
}

// crash is what became of an attempt whose goroutine did not come to its end.
type crash struct{ value any } // of the panic, if it was one

// start sends a's request.
func (r *race) start(i int, a *attempt, out *http.Request) {
	r.running[i] = a
	go func() {
		a.crash = &crash{}
		defer func() {
			if a.crash != nil {
				a.crash.value = recover()
			}
			r.done <- a
		}()
		a.roundTrip(out)
		a.crash = nil
	}()
}

// arrived takes in an attempt that has ended, and returns it if that ends the
// race.
func (r *race) arrived(a *attempt) *attempt {
	r.ended(a)
	if a.crash != nil {
		r.call.last = a
		if v := a.crash.value; v != nil {
			panic(v) // where the caller can see it
		}
		a.err = errors.New("transport: the round trip ended its goroutine")
	}
	a.received()
	other := r.other()
	switch {
	case other == nil:
		r.call.last = a
		return a
	case a.won():
		r.call.last = a
		r.call.measure(other, time.Now())
		return a
	default:
		a.discard()
		r.call.last = other
		return nil
	}
}

func (r *race) ended(a *attempt) { r.running[slices.Index(r.running[:], a)] = nil }

// other returns the attempt that is still running, or nil.
func (r *race) other() *attempt {
	if r.running[0] != nil {
		return r.running[0]
	}
	return r.running[1]
}

// won reports whether the attempt brought what the caller wants. A server that
// refuses for being busy has not answered.
func (a *attempt) won() bool {
	return a.err == nil && a.outcome == Success && a.resp.StatusCode != http.StatusTooManyRequests
}

// cancel ends the attempts that still run, and waits for them: a call has ended
// its attempts when it returns.
func (r *race) cancel() {
	for a := r.other(); a != nil; a = r.other() {
		a.cancel(errOvertaken)
		b := <-r.done
		r.ended(b)
		b.outcome = Cancelled
		if b.resp != nil {
			_ = b.resp.Body.Close() // cancelled already: there is nothing to read
		}
		b.end(time.Now(), errOvertaken)
	}
}

// hedge makes a hedge if everything is in favour of it.
func (k *call) hedge(r *race, second bool) bool {
	s := k.svc
	stats := s.balancer.Stats()
	if stats.Panic || stats.Available <= len(k.want.Tried) || s.throttled() || !k.leaves(0) {
		return false
	}
	if !k.rules.hedger.Take(second) || !s.budget.Take(retry.CostHedge) {
		return false
	}
	body, err := k.body.spare()
	if err != nil {
		return false // the first attempt has its body, and may do without a second
	}
	e := k.pickOther()
	if e == nil {
		if body != nil {
			_ = body.Close()
		}
		return false
	}
	k.hedged = true
	a := k.begin(e, Hedge)
	r.start(1, a, a.request(body))
	return true
}

// pickOther picks an endpoint that the call has not tried, or nil.
func (k *call) pickOther() *balance.Endpoint {
	k.want.Now = time.Now()
	if k.info.Explain {
		k.want.Explain = &balance.Explanation{}
	}
	e, err := k.svc.balancer.PickFor(&k.want)
	if err != nil {
		return nil
	}
	if slices.Contains(k.want.Tried, e) {
		e.Done(balance.Result{Now: k.want.Now, Outcome: balance.Cancelled})
		return nil
	}
	return e
}
