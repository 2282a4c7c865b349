package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// admission is a call that is yet to be admitted. One that is refused never
// becomes more.
type admission struct {
	svc       *service
	plan      *plan
	rules     *rules
	req       *http.Request
	ctx       context.Context // the caller's, with what the observer added
	permit    breaker.Permit
	foreign   bool // only an allow-list of its header may go out
	held      bool // a permit and a place in the bulkhead, until the end
	throttled bool // the throttle has let it through and is to hear of it
	info      Call
	ended     atomic.Bool
}

// call is one call on its way.
type call struct {
	admission
	deadline time.Time
	body     replayBody
	want     balance.Call         // what the balancer is to know
	space    [3]*balance.Endpoint // the first memory of want.Tried
	query    url.Values           // nil before it is asked for; see attributes
	n        int                  // attempts made
	first    attempt
	last     *attempt
	shadow   *shadow // nil if there is none

	idempotent bool // doing it twice is as good as once
	elsewhere  bool // the answer is that of a failure further down
	busy       bool // the answer is that the request was shed
	hurried    bool // the answer is an error, for which the caller's deadline is to blame
	sent       bool // a server can have seen some of the request
	hedged     bool // there has been a hedge
	theirs     bool // the deadline is the caller's
}

// errServer stands for a 5xx response where an error is wanted, errElsewhere
// for one that a server passed on after it had retried downstream, errBusy for
// one that says that the request was shed.
var (
	errServer    = errors.New("server error")
	errElsewhere = errors.New("server error further down")
	errBusy      = errors.New("request shed")
)

// classify tells the breaker what an outcome means. Finding no instance says
// nothing about how the instances fare. Nor does the failure of a service
// behind the one that was called: it would open the circuit of a service that
// can do much without its neighbour, and has a circuit of its own for it.
func classify(err error) breaker.Outcome {
	if err == nil {
		return breaker.Success
	}
	if errors.Is(err, errBusy) {
		return breaker.Busy
	}
	if errors.Is(err, ErrNoInstances) || errors.Is(err, errElsewhere) || errors.Is(err, context.Canceled) {
		return breaker.Ignored
	}
	return breaker.Failure
}

// startCall makes one call and returns when its response's header is there, or
// none will come. A request that was not meant for this service is foreign.
func startCall(w way, req *http.Request, foreign bool) (*http.Response, error) {
	k, ok := w.svc.client.refused.Get().(*call)
	if !ok {
		k = new(call)
	}
	k.svc, k.plan, k.rules, k.foreign = w.svc, w.plan, w.rules, foreign
	k.req, k.ctx = req, req.Context()
	k.info = Call{Service: w.svc.name, Route: w.rules.pattern, Method: req.Method, Request: req, Start: k.observedAt()}
	returned := false
	defer k.unwind(&returned)
	resp, err := k.run()
	returned = true
	if !k.held {
		k.admission = admission{}
		w.svc.client.refused.Put(k)
	}
	return resp, err
}

// run is startCall once the call is set up.
func (k *call) run() (*http.Response, error) {
	if o := k.svc.client.observer; o != nil {
		k.ctx = o.StartCall(k.ctx, &k.info)
	}
	if err := k.admit(); err != nil {
		closeBody(k.req)
		return nil, k.fail(err, Rejected)
	}
	k.prepare()
	if err := k.prepareBody(); err != nil {
		return nil, k.fail(&ownBodyError{err}, Cancelled)
	}
	return k.attempts()
}

// observedAt returns the present for the observer, or the zero time if there is
// none: reading the clock is a good part of what a refusal costs.
func (k *call) observedAt() time.Time {
	if k.svc.client.observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// prepare sets up what only a call needs that has been admitted.
func (k *call) prepare() {
	k.body.req = k.req
	k.idempotent = k.rules.idempotent || retry.Idempotent(k.req.Method, k.req.Header)
	now := k.info.Start
	if now.IsZero() {
		now = time.Now()
	}
	k.deadline = now.Add(k.rules.timeout)
	if d, ok := k.req.Context().Deadline(); ok && d.Before(k.deadline) {
		k.deadline, k.theirs = d, true
	}
	k.describe()
}

// prepareBody makes the body ready for the attempts, within the call's time.
func (k *call) prepareBody() error {
	ctx := k.ctx
	if k.req.Body != nil && k.req.GetBody == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, k.deadline, k.late())
		defer cancel()
	}
	return k.body.init(ctx, &k.rules.retry)
}

// unwind gives everything back when a panic, of an observer or a request body,
// ends the call.
func (k *call) unwind(returned *bool) {
	if *returned {
		return
	}
	err := errors.New("panic")
	defer func() { k.end(time.Now(), err, Cancelled) }()
	if k.held {
		k.body.close()
	} else {
		closeBody(k.req)
	}
	if a := k.last; a != nil {
		a.outcome = Cancelled
		if a.resp != nil {
			_ = a.resp.Body.Close()
		}
		a.end(time.Now(), err)
	}
}

// admit takes a place in the bulkhead and the breaker's permit. What was taken
// is given back by end.
func (k *call) admit() error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	if err := k.takePlace(); err != nil {
		return err
	}
	if err := k.guard(); err != nil {
		k.leavePlace()
		k.noRetryAbove()
		return err
	}
	k.held = true
	if h := k.rules.hedger; h != nil {
		h.Began()
	}
	return nil
}

// guard asks the service's throttle, where that is on, or else its circuit, or
// both if the throttle only shadows.
func (k *call) guard() error {
	s, t := k.svc, &k.plan.policy.Throttle
	k.throttled = t.On && s.throttle.Allow(s.rand)
	if t.On && !t.Shadow {
		if !k.throttled {
			return s.throttle.Err()
		}
		return nil
	}
	if t.On && !k.throttled {
		k.shadowed(ShadowThrottle)
	}
	permit, err := s.breaker.Allow(k.req.Context())
	if err != nil {
		return err
	}
	k.permit = permit
	if permit.Shadowed() {
		k.shadowed(ShadowBreaker)
	}
	return nil
}

// judged tells the throttle and the circuit, as far as they were asked, how the
// call ended.
func (k *call) judged(err error, o Outcome) {
	verdict := k.verdict(err, o)
	k.permit.Done(verdict)
	if !k.throttled {
		return
	}
	switch classify(verdict) {
	case breaker.Success:
		k.svc.throttle.Done(k.info.Status != http.StatusTooManyRequests)
	case breaker.Failure, breaker.Busy:
		k.svc.throttle.Done(false)
	}
}

// takePlace takes a place in the service's bulkhead and, if the route has one,
// in the route's.
func (k *call) takePlace() error {
	c := k.rank()
	k.info.Criticality = c
	b := k.svc.bulkhead
	if !b.TryAcquireFor(c) {
		if !k.plan.policy.Limit.Shadow {
			return &bulkheadError{max: b.MaxFor(c)}
		}
		b.Acquire()
		k.shadowed(ShadowBulkhead)
	}
	r := k.rules.bulkhead
	if r == nil || r.TryAcquireFor(c) {
		return nil
	}
	if !k.rules.spare {
		r.refused.Add(1)
		b.Release()
		return &bulkheadError{max: r.MaxFor(c), route: k.rules.pattern}
	}
	r.spared.Add(1)
	r.Acquire()
	k.shadowed(ShadowBulkhead)
	return nil
}

func (k *call) leavePlace() {
	if r := k.rules.bulkhead; r != nil {
		r.Release()
	}
	k.svc.bulkhead.Release()
}

// attempts makes one attempt after the other until one is to be handed to the
// caller.
func (k *call) attempts() (*http.Response, error) {
	for {
		a, err := k.attempt()
		if err != nil { // there was nobody to try
			k.body.close()
			return nil, k.fail(err, k.outcomeOf(err))
		}
		wait, again := k.again(a)
		if !again {
			return k.deliver(a)
		}
		a.discard()
		if err := k.sleep(wait); err != nil {
			k.body.close()
			return nil, k.fail(err, k.outcomeOf(err))
		}
	}
}

// deliver gives the caller what the last attempt brought.
func (k *call) deliver(a *attempt) (*http.Response, error) {
	if a.err != nil {
		k.giveUp(a)
		a.end(time.Now(), a.err)
		k.body.close()
		return nil, k.fail(a.err, a.outcome)
	}
	now := time.Now()
	k.elsewhere, k.busy = a.elsewhere, a.shed
	if a.resp.StatusCode >= 500 {
		k.giveUp(a)
		k.hurried = k.gone() != nil
	} else {
		a.answer(now)
		if a.won() { // too many requests are none that were served
			k.svc.budget.Success()
			k.svc.floor.Record(now, now.Sub(a.info.Start))
			k.measure(a, now)
		}
	}
	k.info.Status = a.resp.StatusCode
	k.endShadow(a.resp.StatusCode)
	k.nameSession(a)
	a.resp.Request = k.req
	a.resp.Body = newResponseBody(a)
	return a.resp, nil
}

// giveUp tells the server in whose handler this call is made, if it is, that
// retrying has been done down here, so that its callers need not.
func (k *call) giveUp(a *attempt) {
	retried := k.n > 1 || k.info.BudgetExhausted
	if retried || a.elsewhere {
		k.noRetryAbove()
	}
}

// noRetryAbove marks the answer of the server in whose handler this call is
// made, if that becomes an error: callers above need not retry, nor blame the
// server for it. An open circuit says so as well, because it is what retries
// have come to.
func (k *call) noRetryAbove() { noRetryAbove(k.ctx) }

func noRetryAbove(ctx context.Context) {
	if r := requestStateOf(ctx); r != nil {
		r.noRetry.Store(true)
	}
	if shared, ok := ctx.Value(sharedKey{}).(*atomic.Bool); ok {
		shared.Store(true)
	}
}

// again decides whether another attempt follows, and after which wait. It pays
// for the attempt from the budget.
func (k *call) again(a *attempt) (time.Duration, bool) {
	p := &k.rules.retry
	if !a.retryable || k.n >= p.MaxAttempts() || k.gone() != nil || !k.body.again() {
		return 0, false
	}
	wait := p.BackoffFrom(k.n, k.svc.rand)
	if a.rest > 0 && !(a.shed && k.othersLeft()) {
		wait = max(wait, retry.JitterUpFrom(a.rest, k.svc.rand))
	}
	if !k.leaves(wait) {
		return 0, false
	}
	cost := retry.CostRetry
	if a.outcome == Timeout {
		cost = retry.CostTimeout
	}
	if !k.svc.budget.Take(cost) {
		k.info.BudgetExhausted = true
		return 0, false
	}
	return wait, true
}

// leaves reports whether after a wait there is time for one more attempt, as far
// as anybody can tell.
func (k *call) leaves(wait time.Duration) bool {
	now := time.Now()
	return k.deadline.Sub(now) >= wait+k.svc.floor.Needed(now)
}

// othersLeft reports whether there is an endpoint that was not tried yet.
func (k *call) othersLeft() bool {
	return k.svc.balancer.Stats().Available > len(k.want.Tried)
}

// gone returns why a caller with this context waits no longer, or nil. The
// deadline counts by itself: the context's timer, and ours that is set for the
// same moment, run in any order.
func gone(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d, ok := ctx.Deadline(); ok && time.Until(d) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// gone returns why the caller waits no longer, or nil. A caller whose deadline
// is that of the call counts as gone when the server's time is up, which ends a
// little earlier: it is the caller who gave no more.
func (k *call) gone() error {
	if err := gone(k.req.Context()); err != nil {
		return err
	}
	if k.theirs && k.last != nil && k.last.over() {
		return context.DeadlineExceeded
	}
	return nil
}

// sleep waits for d, or until the caller gives up.
func (k *call) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-k.ctx.Done():
		return context.Cause(k.ctx)
	}
}

// pick chooses the endpoint of the next attempt. Before the registry's first
// answer it waits, as long as an attempt may take.
func (k *call) pick() (*balance.Endpoint, error) {
	if k.info.Explain {
		k.want.Explain = &balance.Explanation{}
	}
	e, err := k.svc.balancer.PickFor(&k.want)
	if err == nil {
		return e, nil
	}
	ctx, cancel := context.WithDeadline(k.ctx, k.attemptDeadline(time.Now()))
	defer cancel()
	if err := k.svc.awaitFirst(ctx); err != nil {
		return nil, err
	}
	k.want.Now = time.Now()
	return k.svc.balancer.PickFor(&k.want)
}

// late returns what ends the call at its deadline.
func (k *call) late() error {
	if k.theirs {
		return context.DeadlineExceeded
	}
	return ErrTimeout
}

func (k *call) attemptDeadline(now time.Time) time.Time {
	d := now.Add(k.rules.attempt)
	if k.deadline.Before(d) {
		return k.deadline
	}
	return d
}

// outcomeOf sorts an error that is not of an attempt.
func (k *call) outcomeOf(err error) Outcome {
	switch {
	case k.gone() != nil:
		return Cancelled
	case errors.Is(err, ErrNoInstances):
		return Rejected
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return Failure
	}
}

// fail ends the call without a response.
func (k *call) fail(err error, o Outcome) error {
	if left := k.gone(); left != nil {
		o = Cancelled
		if !errors.Is(err, left) {
			err = fmt.Errorf("%w (%w)", left, err)
		}
	}
	e := &Error{Service: k.svc.name, Attempts: k.n, Sent: k.sent, Err: err}
	if k.last != nil {
		e.Instance = k.last.info.Instance.ID
	}
	k.end(k.observedAt(), e, o)
	return e
}

// end records the outcome of the whole call, once, and gives back what admit
// took.
func (k *call) end(now time.Time, err error, o Outcome) {
	if !k.ended.CompareAndSwap(false, true) {
		return
	}
	k.info.Attempts, k.info.Err, k.info.Outcome = k.n, err, o
	k.info.Resolved = k.svc.resolved.Load() // attempt has not run if nobody was found
	k.endShadow(0)
	if k.body.first != nil {
		k.body.first.close() // if the server answered without reading it, nobody else does
	}
	if k.held {
		k.judged(err, o)
		k.leavePlace()
	}
	if obs := k.svc.client.observer; obs != nil {
		k.info.Duration = now.Sub(k.info.Start)
		obs.EndCall(k.ctx, &k.info)
	}
}

// verdict is what the breaker is told of the call.
func (k *call) verdict(err error, o Outcome) error {
	switch {
	case o == Success:
		return nil
	case o == Cancelled || k.hurried:
		return context.Canceled
	case k.elsewhere:
		return errElsewhere
	case k.busy:
		return errBusy
	case err == nil:
		return errServer
	default:
		return err
	}
}

// rank returns how much the call matters.
func (k *call) rank() limit.Criticality {
	if c, ok := k.criticality(); ok {
		return c
	}
	if v := k.req.Header[HeaderCriticality]; len(v) > 0 {
		return limit.ParseCriticality(v[0])
	}
	return limit.Critical
}

// criticality returns what the call's header must say, and whether it must say
// anything.
func (k *call) criticality() (limit.Criticality, bool) {
	if first(k.req.Header, HeaderCriticality) != "" {
		return 0, false
	}
	if c, ok := CriticalityOf(k.ctx); ok {
		return c, true
	}
	r := requestStateOf(k.ctx)
	switch {
	case r != nil && (r.rated || !k.rules.rated):
		return r.criticality, true
	case k.rules.rated:
		return k.rules.criticality, true
	default:
		return 0, false
	}
}
