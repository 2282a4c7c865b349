package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// A ServerObserver is told what happens to the requests of a [Server]. Its
// methods run for every request and must be quick; q belongs to the request
// and must not be kept.
type ServerObserver interface {
	// StartRequest begins a request. The context that it returns is that of
	// the handler.
	StartRequest(ctx context.Context, q *Request) context.Context
	// EndRequest ends the request that began with the ctx that StartRequest
	// returned.
	EndRequest(ctx context.Context, q *Request)
}

// A Request is one request as a [ServerObserver] sees it.
type Request struct {
	*http.Request
	Start time.Time

	// What follows is known at the end.

	Duration time.Duration
	// Route is the ServeMux pattern that matched; empty if none did.
	Route string
	// Status is that of the response; 499 if the client left before one.
	Status int
	// Bytes counts the response's body.
	Bytes int64
	// Shed says why the request was refused before any work; empty if it was
	// not.
	Shed string
	// Shadowed is [ShadowQueue] if the request would have been refused and was
	// not, because the limit only shadows: see limit.Settings.
	Shadowed    ShadowLimit
	Criticality limit.Criticality
	// Panic is what the handler panicked with, nil if it did not.
	Panic any
}

// StatusClientClosed is reported, never sent: the client left before there was
// a response.
const StatusClientClosed = 499

// requestState is what a request's context carries through the handler.
type requestState struct {
	server      *Server // nil for a call in process outside all servers
	criticality limit.Criticality
	rated       bool // the caller has said so
	lent        bool // the handler's request has been shown to somebody
	noRetry     atomic.Bool
	shed        atomic.Pointer[string] // why; see MarkShed
	place       place
	body        io.ReadCloser // without the server's bound on its size
}

// rate notes how much the request matters, and whether its caller has said so.
func (s *requestState) rate(h http.Header) {
	said := h[HeaderCriticality]
	s.criticality, s.rated = limit.Critical, said != nil
	if len(said) > 0 {
		s.criticality = limit.ParseCriticality(said[0])
	}
}

type requestStateKey struct{}

func requestStateOf(ctx context.Context) *requestState {
	s, _ := ctx.Value(requestStateKey{}).(*requestState)
	return s
}

// Draining returns a channel that is closed when the server of this request
// has begun to drain: handlers that stream should then end their stream. It
// returns nil, which blocks for ever, when ctx is not that of a request, or no
// server has it, as that of a call in process by a caller that serves nobody.
func Draining(ctx context.Context) <-chan struct{} {
	if s := requestStateOf(ctx); s != nil && s.server != nil {
		return s.server.drainCtx.Done()
	}
	return nil
}

// exchange is one request on its way through the server.
// All of it is one allocation, which the handler may keep for as long as it
// likes.
type exchange struct {
	w     responseWriter
	state requestState
	info  Request
	ctx   requestContext // the handler's, above which is what the observers made
	req   http.Request   // the handler's
}

// ServeHTTP serves one request within the server's limits.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isProbe(r) {
		s.answerProbe(w, r)
		return
	}
	if isPreface(r) {
		w.Header().Set("Connection", "close")
		WriteProblem(w, r, Problem{Status: http.StatusHTTPVersionNotSupported, Detail: "HTTP/2 without TLS is not spoken here"})
		return
	}
	x := s.newExchange()
	defer s.giveBack(x)
	x.w = responseWriter{ResponseWriter: w, exchange: x}
	x.state.rate(r.Header)
	x.state.place.limiter, x.state.place.class = s.limiter, x.state.criticality
	if s.cfg.client != nil {
		x.state.place.client = s.cfg.client(r)
	}
	x.info = Request{Request: r, Start: time.Now(), Criticality: x.state.criticality}
	x.ctx.Context, x.ctx.state = r.Context(), &x.state
	s.active.Add(1)
	defer s.active.Add(-1)
	for _, o := range s.cfg.observers {
		x.ctx.Context = o.StartRequest(x.ctx.Context, &x.info)
	}
	defer x.end()
	defer x.w.letGo()
	defer x.ctx.end()
	x.serve(r)
}

// isPreface reports whether r is the beginning of HTTP/2 with prior knowledge.
// Where net/http was not told to speak that it makes a request of it, for
// handlers that do.
func isPreface(r *http.Request) bool { return r.Method == "PRI" && r.RequestURI == "*" }

// serve adopts the deadline, admits and calls the handler.
func (x *exchange) serve(r *http.Request) {
	if d, ok := CallerTimeout(r.Header); ok {
		if d <= 0 {
			x.refuse(r, expired)
			return
		}
		x.ctx.bound(x.info.Start.Add(d))
	}
	ctx := &x.ctx
	x.req = *r.WithContext(ctx) // the copy that it makes does not leave the stack
	r = &x.req
	exempt := x.exempt(r)
	if !exempt && waits(r) {
		if err := x.state.place.visit(ctx); err != nil {
			x.refuse(r, err)
			return
		}
	}
	if !x.readBody(r) {
		return
	}
	if exempt {
		x.call(r)
		return
	}
	now := time.Now()
	if ctx.ended(now) {
		x.refuse(r, expired)
		return
	}
	began, err := x.state.place.acquire(ctx, now)
	if err != nil {
		x.refuse(r, err)
		return
	}
	if outOfTime(ctx, began) {
		x.state.place.release(began, limit.Ignored)
		x.refuse(r, expired)
		return
	}
	defer x.leave(began)
	x.call(r)
}

// leave gives the place back that the request had since began.
func (x *exchange) leave(began time.Time) {
	now := time.Now()
	x.info.Duration = now.Sub(x.info.Start)
	if x.state.place.release(now, x.limitOutcome(now)) {
		x.info.Shadowed = ShadowQueue
	}
	if x.state.shed.Load() == nil { // a refusal's time says nothing of the work
		x.state.server.load.record(now.Sub(began), x.w.status >= 500)
	}
}

// exempt reports whether r is served however busy the server is.
func (x *exchange) exempt(r *http.Request) bool {
	exempt := x.state.server.cfg.exempt
	if exempt == nil {
		return false
	}
	x.state.lent = true
	return exempt(r)
}

// waits reports whether the sender of a body that is read early keeps it back
// until it is asked for it, which reading does. Whom there is no place for is
// told so first, and need not send it.
func waits(r *http.Request) bool {
	return isEarly(r) && strings.EqualFold(first(r.Header, "Expect"), "100-continue")
}

var expired error = &limit.ShedError{Reason: limit.ReasonExpired}

// limitOutcome tells the limiter whether the time taken says something about
// the server's load.
func (x *exchange) limitOutcome(now time.Time) limit.Outcome {
	switch {
	case outOfTime(&x.ctx, now):
		return limit.Dropped
	case x.w.streaming || x.ctx.ended(now) || x.w.status >= 500 || x.state.shed.Load() != nil:
		return limit.Ignored
	default:
		return limit.Succeeded
	}
}

// outOfTime reports whether ctx's deadline has passed. Its timer may not have
// run yet, when the handler noticed by a clock of its own.
func outOfTime(ctx context.Context, now time.Time) bool {
	d, ok := ctx.Deadline()
	return ok && !now.Before(d)
}

// earlyBytes is the size up to which a request's body is read before the
// request takes one of the limited places, so that slow senders hold none.
const earlyBytes = 64 << 10

// isEarly reports whether the body of r is read before r takes a place.
func isEarly(r *http.Request) bool { return r.ContentLength > 0 && r.ContentLength <= earlyBytes }

// readBody bounds the body and, if it is small, reads it. It reports whether
// to go on.
func (x *exchange) readBody(r *http.Request) bool {
	early := isEarly(r)
	if r.ContentLength != 0 && !early {
		r.Body = slowBody{r.Body, &x.state.place, &x.ctx}
	}
	bound := x.state.server.cfg.settings.BodyBytes
	switch {
	case bound > 0 && r.ContentLength > bound:
		x.w.Header().Set("Connection", "close")
		WriteProblem(&x.w, r, Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", bound)})
		return false
	case early:
		return x.readEarly(r)
	case bound > 0 && r.Body != nil && r.Body != http.NoBody:
		x.state.body = r.Body
		r.Body = http.MaxBytesReader(x.w.ResponseWriter, r.Body, bound)
	}
	return true
}

// readEarly reads the body and puts what it has read in its place.
func (x *exchange) readEarly(r *http.Request) bool {
	data := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		x.w.Header().Set("Connection", "close")
		WriteProblem(&x.w, r, Problem{Status: http.StatusBadRequest, Detail: "the body could not be read to its end"})
		return false
	}
	early := &earlyBody{Closer: r.Body}
	early.Reset(data)
	r.Body = early
	return true
}

// earlyBody is a body that has been read already.
type earlyBody struct {
	bytes.Reader
	io.Closer
}

// call runs the handler. A panic becomes a 500 if nothing was sent, else the
// end of the connection.
func (x *exchange) call(r *http.Request) {
	x.state.lent = true
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		if isAbort(v) {
			x.w.aborted = true
			panic(v)
		}
		x.panicked(r, v)
	}()
	x.state.server.handler.ServeHTTP(&x.w, r)
	returned = true
	if x.w.status == 0 {
		x.unanswered(r)
	}
	if x.w.openEnded() && errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		// The body may have been broken off because its time was up. It must
		// not look complete to a caller whose clock is a little behind.
		x.w.aborted = true
		panic(http.ErrAbortHandler)
	}
}

// unanswered answers for a handler that has returned without a word, for which
// net/http would send an empty 200. If its time was up it has given up, and its
// caller, who waits a little longer, must not take that for an answer.
func (x *exchange) unanswered(r *http.Request) {
	switch err := r.Context().Err(); {
	case err == nil:
		x.w.WriteHeader(http.StatusOK)
	case errors.Is(err, context.DeadlineExceeded):
		WriteProblem(&x.w, r, Problem{Status: http.StatusGatewayTimeout, Detail: "the deadline has passed"})
	}
}

// isAbort reports whether a handler panicked to break off its response, which
// is no fault.
func isAbort(v any) bool {
	err, ok := v.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

func (x *exchange) panicked(r *http.Request, v any) {
	if v == nil {
		v = "runtime.Goexit called by the handler"
	}
	x.info.Panic = v
	x.state.server.cfg.log.ErrorContext(r.Context(), "transport: handler panicked",
		"panic", fmt.Sprint(v), "method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))
	if x.w.status != 0 {
		x.w.aborted = true
		panic(http.ErrAbortHandler)
	}
	maps.DeleteFunc(x.w.Header(), func(name string, _ []string) bool { return !ofTheRequest(name) })
	WriteProblem(&x.w, r, Problem{Status: http.StatusInternalServerError})
}

// ofTheRequest reports whether a field of a response's header says something of
// the request and not of what its handler meant to answer: it stays when the
// handler fails.
func ofTheRequest(name string) bool {
	return name == "X-Request-Id" || name == "Vary" || strings.HasPrefix(name, "Access-Control-")
}

// end tells the observers, and whoever made the request of what it is to clean
// up.
func (x *exchange) end() {
	if f := x.req.MultipartForm; f != nil {
		x.info.MultipartForm = f
	}
	if len(x.state.server.cfg.observers) == 0 {
		return
	}
	x.info.Route = x.req.Pattern
	if x.info.Duration == 0 { // it had no place
		x.info.Duration = time.Since(x.info.Start)
	}
	x.info.Bytes = x.w.bytes
	x.info.Status = x.w.status
	if why := x.state.shed.Load(); why != nil {
		x.info.Shed = *why
	}
	switch {
	case x.w.status != 0:
	case x.info.Request.Context().Err() != nil:
		x.info.Status = StatusClientClosed
	case x.w.aborted:
		x.info.Status = http.StatusInternalServerError
	default:
		x.info.Status = http.StatusOK // net/http sends it for a handler that writes nothing
	}
	for _, o := range slices.Backward(x.state.server.cfg.observers) {
		o.EndRequest(x.ctx.Context, &x.info)
	}
}
