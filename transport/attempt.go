package transport

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/retry"
)

// drainBytes is the most that is read of a body nobody wants, so that its
// connection can be used again.
const drainBytes = 64 << 10

// drainTime is the longest that such reading may take.
const drainTime = 50 * time.Millisecond

// attempt is one try of a call on one endpoint. What goes out and what the
// caller gets in the end is part of it, so that all of it is one allocation; and
// that of a call's first attempt is the call's.
type attempt struct {
	call     *call
	endpoint *balance.Endpoint
	ctx      attemptContext
	cancel   context.CancelCauseFunc
	alarm    *alarm
	told     time.Time   // when the server's time is up, by what it was told; zero if it was told nothing
	wrote    atomic.Bool // something of the request went out
	info     Attempt

	out    http.Request
	url    url.URL
	values [3]string    // memory of the header's values
	body   responseBody // if onBody

	pool      *pool // nil before it is sent
	connects  int   // how often net/http was about to look for a connection
	resp      *http.Response
	err       error
	outcome   Outcome
	retryable bool
	shed      bool          // refused before any work
	elsewhere bool          // a server further down failed, and retries were made there
	onBody    bool          // the response is the caller's, whose body has not ended
	answered  bool          // the balancer knows how long the answer took
	final     bool          // it may take all that is left of the call's time
	rest      time.Duration // what Retry-After asked for
	ended     atomic.Bool
	crash     *crash // nil but in a race
}

// attemptContext is a context that ends by cancellation, and tells when and for
// which attempt.
type attemptContext struct {
	context.Context // nil before the attempt has begun
	attempt         *attempt
}

// attemptKey finds the attempt in its context, or the shadow in its own.
type attemptKey struct{}

// Deadline implements [context.Context].
func (c *attemptContext) Deadline() (time.Time, bool) { return c.attempt.call.deadline, true }

// Value implements [context.Context].
func (c *attemptContext) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return c.attempt
	}
	return c.Context.Value(key)
}

// attempt picks an endpoint and tries it. The error is that nobody could be
// tried; everything else is in the attempt.
func (k *call) attempt() (*attempt, error) {
	k.want.Now = time.Now()
	e, err := k.pick()
	if err != nil {
		return nil, err
	}
	kind := First
	if k.n > 0 {
		kind = Retry
	}
	a := k.begin(e, kind)
	k.castShadow(a)
	if late, ok := k.mayHedge(a); ok {
		return k.race(a, late), nil
	}
	out := a.request(k.body.next(&a.ctx))
	a.roundTrip(out)
	a.received()
	return a, nil
}

// begin begins an attempt on e, which the balancer has picked, at k.want.Now.
func (k *call) begin(e *balance.Endpoint, kind AttemptKind) *attempt {
	k.info.Resolved = true
	k.want.Tried = append(k.want.Tried, e)
	k.n++
	a := &k.first
	if k.n > 1 {
		a = new(attempt)
	}
	a.call, a.endpoint = k, e
	k.last = a
	now := k.want.Now
	deadline := k.attemptDeadline(now)
	a.info = Attempt{N: k.n, Kind: kind, Instance: e.Current(), Pick: k.want.Explain, Start: now, Header: a.header(now)}
	ctx := k.ctx
	if o := k.svc.client.observer; o != nil {
		ctx = o.StartAttempt(ctx, &k.info, &a.info)
	}
	if k.foreign {
		onlyForeign(a.info.Header) // the observer may have put baggage there
	}
	a.start(ctx, deadline)
	return a
}

// start gives the attempt its context, which the alarm cancels unless the
// response's header is there before.
func (a *attempt) start(ctx context.Context, deadline time.Time) {
	a.ctx.attempt = a
	a.ctx.Context, a.cancel = context.WithCancelCause(ctx)
	a.final = !deadline.Before(a.call.deadline)
	a.alarm = a.call.svc.client.alarms.take(a, deadline)
}

// timeUp runs when the alarm rings.
func (a *attempt) timeUp() {
	if a.onBody {
		a.body.expire()
	} else {
		a.cancel(a.late())
	}
}

// late returns why the alarm cancels.
func (a *attempt) late() error {
	if a.final {
		return a.call.late()
	}
	return ErrAttemptTimeout
}

// headerIn stops the alarm. It reports false if the attempt's time was up
// already.
func (a *attempt) headerIn() bool {
	if a.alarm.stop() {
		return true
	}
	a.cancel(a.late()) // the alarm's own call may not have come yet
	return false
}

// hopMargin is what a server is told less than there is left: a hundredth, from
// 1 to 10 ms, for its last words to find somebody who still listens.
func hopMargin(left time.Duration) time.Duration {
	return min(max(left/100, time.Millisecond), 10*time.Millisecond)
}

// header returns the caller's header with what the hop adds. The time that the
// server is told is what is left of the call's, not of the attempt's: the
// latter ends with the response's header, and a server that took it for its
// own would cut the body short. A connection that is to be upgraded outlives
// the call, so nothing is said of its time.
func (a *attempt) header(now time.Time) http.Header {
	k := a.call
	h := make(http.Header, len(k.req.Header)+4) // these and a trace's
	maps.Copy(h, k.req.Header)
	if h["Upgrade"] == nil {
		left := k.deadline.Sub(now)
		left = max(left-hopMargin(left), time.Millisecond).Truncate(time.Millisecond)
		a.told = now.Add(left)
		h[HeaderTimeout] = a.value(0, k.rules.millis(left.Milliseconds()))
	} else {
		delete(h, HeaderTimeout)
	}
	h[HeaderAttempt] = a.value(1, strconv.Itoa(k.n))
	if c, ok := k.criticality(); ok {
		h[HeaderCriticality] = a.value(2, c.String())
	}
	return h
}

// value returns v as the value of a header.
func (a *attempt) value(i int, v string) []string {
	a.values[i] = v
	return a.values[i : i+1 : i+1]
}

// request returns what goes out, with this body.
func (a *attempt) request(body io.ReadCloser) *http.Request {
	k := a.call
	a.pool = k.svc.conns.acquire(a.endpoint, k.want.Now)
	a.out = *k.req.WithContext(a.traced()) // the copy that it makes does not leave the stack
	out := &a.out
	a.url = *k.req.URL
	a.url.Host = a.info.Instance.Addr
	out.URL = &a.url
	if out.Host == "" {
		out.Host = k.svc.host
	}
	out.Header = a.info.Header
	out.Body, out.GetBody = body, k.body.rewind(k.idempotent)
	if a.pool.transport != nil { // in process, the handler is given this very header
		out.Header = onceOnly(out.Header)
	}
	return out
}

// roundTrip sends the request and waits for the response's header. It touches
// nothing but the attempt.
func (a *attempt) roundTrip(out *http.Request) {
	a.resp, a.err = a.pool.RoundTrip(out) //nolint:bodyclose // the call's end closes it
	if a.err == nil && !a.headerIn() {
		discard(a.resp.Body)
		a.resp, a.err = nil, context.Cause(&a.ctx)
	}
}

// received takes in what roundTrip brought.
func (a *attempt) received() {
	k := a.call
	a.reported()
	k.sent = k.sent || a.resp != nil || a.wrote.Load() || k.idempotent && !connectError(a.err)
	a.judge()
}

// reported tells the balancer what the server said of itself.
func (a *attempt) reported() {
	if a.resp == nil {
		return
	}
	if l, ok := parseLoad(first(a.resp.Header, HeaderLoad)); ok {
		if l.RIF > 0 && first(a.resp.Header, HeaderShed) == "" {
			l.RIF-- // it is this one, which is answered
		}
		a.endpoint.Report(l)
	}
}

// traced returns the attempt's context with what notices that the request goes
// out, where that matters. What is idempotent may arrive twice; but if net/http
// might send it again by itself, oneConnection has to know. HTTP/1 tells when the
// header is in its buffer, and flushes later. HTTP/2 tells only after it has sent
// the header, so there the first field counts, before any is sent.
func (a *attempt) traced() context.Context {
	if a.call.idempotent && !(a.pool.multiplexed && replayed(a.call.req.Method)) {
		return &a.ctx
	}
	trace := &httptrace.ClientTrace{WroteHeaders: func() { a.wrote.Store(true) }}
	if a.pool.multiplexed {
		trace.WroteHeaderField = func(string, []string) { a.wrote.Store(true) }
	}
	return httptrace.WithClientTrace(&a.ctx, trace)
}

// replayed reports whether net/http sends a request with this method again when
// a connection that had been used before breaks under it. Others it sends again
// only if nothing was written, or if it finds a key in the header: see onceOnly.
func replayed(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return false
	}
}

// errHungUp is what becomes of an attempt that net/http would have made again.
var errHungUp = errors.New("the server closed the connection as the request was sent")

// oneConnection is the Proxy of every http.Transport. There is no proxy; but
// net/http asks whenever it is about to look for a connection, and takes no for
// an answer. So it does not send a request again by itself, on one dead
// connection after the other, whatever the policy and the budget say. It may
// look for another connection if none of the request can have gone out, as when
// one of HTTP/2 has no room for it.
func oneConnection(req *http.Request) (*url.URL, error) {
	s, ok := req.Context().Value(attemptKey{}).(sender)
	if ok && replayed(req.Method) && !s.mayConnect() {
		return nil, errHungUp
	}
	return nil, nil
}

// A sender is an attempt or a shadow: what sends one request, once.
type sender interface {
	// mayConnect is called whenever net/http is about to look for a connection,
	// and reports whether it may.
	mayConnect() bool
}

// mayConnect implements sender.
func (a *attempt) mayConnect() bool {
	a.connects++
	return a.connects == 1 || a.pool.multiplexed && !a.wrote.Load()
}

// judge sorts the result and decides whether another attempt may follow.
func (a *attempt) judge() {
	if a.err != nil {
		a.judgeError()
		return
	}
	p := &a.call.rules.retry
	status := a.resp.StatusCode
	a.info.Status = status
	a.shed = status == http.StatusServiceUnavailable && first(a.resp.Header, HeaderShed) != ""
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		a.rest, _ = retry.ParseRetryAfter(a.resp.Header.Get("Retry-After"), time.Now())
		a.rest = min(a.rest, p.RetryAfterCap())
	}
	if status == http.StatusTooManyRequests || a.shed || a.rest > 0 {
		a.call.svc.calmDown(max(a.rest, calmFor))
	}
	switch {
	case a.shed:
		a.outcome = Rejected
	case status >= 500:
		a.outcome = Failure
	default:
		a.outcome = Success
	}
	again := p.Status(status) || a.shed
	if status == http.StatusTooManyRequests {
		again = again && a.rest > 0 // told when, or not at all
	}
	a.elsewhere = status >= 500 && first(a.resp.Header, HeaderNoRetry) != ""
	a.retryable = again && !a.elsewhere && (a.shed || a.call.idempotent)
}

func (a *attempt) judgeError() {
	a.err = a.cause(a.err)
	if err := a.call.body.fault(a.ctx.Err() != nil); err != nil {
		a.err, a.outcome = &ownBodyError{err}, Cancelled
		return
	}
	switch left := a.call.gone(); {
	case errors.Is(left, context.DeadlineExceeded):
		a.outcome = Timeout // an endpoint that hangs must be found out; the call as a whole is Cancelled
	case left != nil:
		a.outcome = Cancelled
	case errors.Is(a.err, ErrTimeout):
		a.outcome = Timeout
	case errors.Is(a.err, ErrAttemptTimeout):
		a.outcome, a.retryable = Timeout, a.call.idempotent || a.neverArrived()
	default:
		a.outcome, a.retryable = Failure, a.call.idempotent || a.neverArrived()
		if err := bigHeader(a.err); err != nil {
			a.err, a.retryable = err, false
		}
	}
}

// cause replaces the error of a cancelled context by what cancelled it. What
// fails once the server's time is up fails for that reason, whoever noticed
// first: a server that keeps to its deadline breaks off at that moment.
func (a *attempt) cause(err error) error {
	switch {
	case a.ctx.Err() != nil:
		return context.Cause(&a.ctx)
	case a.over():
		return a.call.late()
	default:
		return err
	}
}

// over reports whether the server's time is up.
func (a *attempt) over() bool { return !a.told.IsZero() && !time.Now().Before(a.told) }

// neverArrived reports whether no server can have begun to work on the
// request: no connection came about, or the server said that it took nothing.
func (a *attempt) neverArrived() bool {
	return !a.wrote.Load() || refusedStream(a.err)
}

// streamError has the shape of HTTP/2's stream error. net/http does not export
// its own but fills in any struct that looks the same.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }

// refusedStream reports whether the server refused the stream before any
// processing (RFC 9113, 8.7).
func refusedStream(err error) bool {
	var e streamError
	return errors.As(err, &e) && e.Code == 0x7
}

// connectError reports whether err is of making the connection.
func connectError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// end records the attempt, once: for the balancer and the observer. err is how
// the response body ended, if there was a response.
func (a *attempt) end(now time.Time, err error) {
	if !a.ended.CompareAndSwap(false, true) {
		return
	}
	if a.alarm != nil { // nil if StartAttempt panicked
		a.call.svc.client.alarms.give(a.alarm, now)
		a.cancel(context.Canceled)
	}
	a.info.Duration = now.Sub(a.info.Start)
	a.info.Err, a.info.Outcome = err, a.outcome
	if a.pool != nil {
		a.pool.release()
	}
	a.endpoint.Done(a.result(now))
	a.call.svc.conns.settle(a.endpoint)
	if o := a.call.svc.client.observer; o != nil && a.ctx.Context != nil {
		o.EndAttempt(&a.ctx, &a.call.info, &a.info)
	}
}

// answer tells the balancer that the answer has begun: how long the body goes on
// says nothing of how fast the endpoint is.
func (a *attempt) answer(now time.Time) {
	a.answered = true
	a.endpoint.Answered(now.Sub(a.info.Start))
}

// result is what the balancer learns.
func (a *attempt) result(now time.Time) balance.Result {
	r := balance.Result{Now: now, Latency: a.info.Duration, Answered: a.answered, Rest: a.rest}
	switch {
	case a.outcome == Cancelled:
		r.Outcome = balance.Cancelled
	case a.outcome == Timeout:
		r.Outcome = balance.Timeout
	case a.err != nil && connectError(a.err):
		r.Outcome = balance.ConnectError
	case a.elsewhere:
		r.Outcome = balance.Cancelled // the endpoint is well: it says whom it misses
	case a.shed || a.rest > 0:
		r.Outcome = balance.Overload
	case a.outcome == Failure:
		r.Outcome = balance.Failure
	}
	return r
}

// discard ends an attempt that another one follows.
func (a *attempt) discard() {
	if a.resp != nil {
		discard(a.resp.Body)
	}
	a.end(time.Now(), a.err)
}

// discard reads a little of body for a little while, so that its connection can
// be used again, and closes it.
func discard(body io.ReadCloser) {
	late := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer late.Stop()
	_, _ = io.CopyN(io.Discard, body, drainBytes) // whatever happens, it is closed next
	_ = body.Close()
}
