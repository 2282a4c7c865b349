package transport

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
)

// A ShadowObserver is an [Observer] that is told of shadows too: requests that
// balance.Shadow has sent a second time, to another version.
type ShadowObserver interface {
	// Shadow is called once for each shadow, when both answers are known. It
	// runs in a goroutine of the client's and, for a shadow that was dropped,
	// in the caller's.
	Shadow(s Shadow)
}

// A Shadow is a request that was sent, or was to be sent, a second time.
type Shadow struct {
	Service string
	Method  string
	// Instance is the one that it was sent to.
	Instance discovery.Instance
	// CallStatus is the status that the caller got; zero if it got none.
	CallStatus int
	// Status is that of the shadow's response; zero if there was none.
	Status int
	// Err is why there was none.
	Err error
	// Duration is how long the response's header took.
	Duration time.Duration
	Result   ShadowResult
}

// A ShadowResult compares the answer to a shadow with that to the call.
type ShadowResult int8

// The results.
const (
	// ShadowMatch: both have the same status.
	ShadowMatch ShadowResult = iota
	// ShadowMismatch: the statuses differ.
	ShadowMismatch
	// ShadowError: there are no two statuses to compare.
	ShadowError
	// ShadowDropped: too many shadows were on their way, or the request's body
	// could not be had a second time; it was not sent.
	ShadowDropped
)

// String returns the result in lower case.
func (r ShadowResult) String() string {
	switch r {
	case ShadowMatch:
		return "match"
	case ShadowMismatch:
		return "mismatch"
	case ShadowError:
		return "error"
	default:
		return "dropped"
	}
}

// Shadow tells those of the observers that want to know.
func (os observers) Shadow(s Shadow) {
	for i := range os {
		if o, ok := os[len(os)-1-i].(ShadowObserver); ok {
			o.Shadow(s)
		}
	}
}

// shadows are those of a service that are on their way. close ends them.
type shadows struct {
	mu       sync.Mutex
	inflight int
	closed   bool
	wg       sync.WaitGroup
}

// start runs f, unless limit others run already.
func (s *shadows) start(limit int, f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.inflight >= limit {
		return false
	}
	s.inflight++
	s.wg.Go(func() {
		defer s.ended()
		f()
	})
	return true
}

func (s *shadows) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inflight--
}

// close waits for those on their way, which end with the service's context, and
// lets no other begin.
func (s *shadows) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// shadow is one on its way. Nothing of it is the caller's: the call may be over,
// and its request used again, long before.
type shadow struct {
	svc      *service
	endpoint *balance.Endpoint
	req      *http.Request
	info     Shadow
	limit    time.Duration // for the answer
	status   chan int      // the call's, once it is known

	multiplexed bool        // its connection may carry other requests too
	connects    int         // how often net/http was about to look for a connection
	wrote       atomic.Bool // something of it went out
}

// mayConnect implements sender.
func (s *shadow) mayConnect() bool {
	s.connects++
	return s.connects == 1 || s.multiplexed && !s.wrote.Load()
}

// castShadow sends the request of the call's first attempt, which is about to be
// sent itself, a second time, if the policy and chance will have it.
func (k *call) castShadow(a *attempt) {
	p := k.svc.balancer.Shadow()
	if p == nil || k.n > 1 || !k.mayShadow(p) {
		return
	}
	e := k.svc.balancer.PickShadow(a.endpoint)
	if e == nil {
		return
	}
	defer func() {
		if k.shadow == nil { // also if making the body has panicked
			e.ShadowDone()
		}
	}()
	left := k.deadline.Sub(a.info.Start)
	s := &shadow{svc: k.svc, endpoint: e, limit: min(k.rules.attempt, left), status: make(chan int, 1)}
	s.info = Shadow{Service: k.svc.name, Method: k.req.Method, Instance: e.Instance()}
	body, err := k.body.copy()
	if err == nil {
		told := min(k.rules.attempt, left-hopMargin(left))
		s.req = k.shadowRequest(a, s.info.Instance.Addr, body, told)
		if k.svc.shadows.start(p.MaxInFlight, s.run) {
			k.shadow = s
			return
		}
	}
	s.info.Err, s.info.Result = err, ShadowDropped
	s.tell()
}

// mayShadow reports whether the request is one that can be sent twice.
func (k *call) mayShadow(p *balance.Shadow) bool {
	if k.req.Header["Upgrade"] != nil || !k.body.copyable(k.rules.retry.BodyCap()) {
		return false
	}
	switch k.req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return p.Writes && k.idempotent
}

// shadowRequest returns what a sends, for somebody else who is told that there
// is so much time. Servers that are busy shed it first.
func (k *call) shadowRequest(a *attempt, addr string, body []byte, told time.Duration) *http.Request {
	out := k.req.WithContext(k.svc.ctx)
	u := *k.req.URL
	u.Host = addr
	out.URL = &u
	if out.Host == "" {
		out.Host = k.svc.host
	}
	out.Header = a.info.Header.Clone()
	out.Header.Set(HeaderTimeout, strconv.FormatInt(max(1, told.Milliseconds()), 10))
	out.Header.Set(HeaderCriticality, limit.Sheddable.String())
	out.Body, out.GetBody, out.Trailer = http.NoBody, nil, nil
	if body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	return out
}

// run sends the shadow, within its time, and compares.
func (s *shadow) run() {
	s.send()
	select {
	case s.info.CallStatus = <-s.status:
	case <-s.svc.ctx.Done():
	}
	switch {
	case s.info.Status == 0 || s.info.CallStatus == 0:
		s.info.Result = ShadowError
	case s.info.Status == s.info.CallStatus:
		s.info.Result = ShadowMatch
	default:
		s.info.Result = ShadowMismatch
	}
	s.tell()
}

func (s *shadow) send() {
	ctx, cancel := context.WithTimeout(s.svc.ctx, s.limit)
	defer cancel()
	pool := s.svc.conns.acquire(s.endpoint, time.Now())
	defer func() {
		pool.release()
		s.endpoint.ShadowDone()
		s.svc.conns.settle(s.endpoint)
	}()
	start := time.Now()
	resp, err := pool.RoundTrip(s.once(ctx, pool))
	s.info.Duration = time.Since(start)
	if err != nil {
		s.info.Err = err
		return
	}
	s.info.Status = resp.StatusCode
	_, _ = io.CopyN(io.Discard, resp.Body, drainBytes) // so that the connection can be used again
	_ = resp.Body.Close()
}

// once returns the request so that net/http does not send it again by itself: a
// shadow is not worth a second try, and nobody has asked for one.
func (s *shadow) once(ctx context.Context, p *pool) *http.Request {
	s.multiplexed = p.multiplexed
	ctx = context.WithValue(ctx, attemptKey{}, s)
	if p.multiplexed {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteHeaderField: func(string, []string) { s.wrote.Store(true) },
			WroteHeaders:     func() { s.wrote.Store(true) },
		})
	}
	out := s.req.WithContext(ctx)
	if p.transport != nil {
		out.Header = onceOnly(out.Header)
	}
	return out
}

// tell tells the observer.
func (s *shadow) tell() {
	if o, ok := s.svc.client.observer.(ShadowObserver); ok {
		o.Shadow(s.info)
	}
}

// endShadow tells the call's shadow, if it has one, the status that the caller
// gets, or 0 if there is none. Only the first time counts.
func (k *call) endShadow(status int) {
	if k.shadow == nil {
		return
	}
	select {
	case k.shadow.status <- status:
	default:
	}
}
