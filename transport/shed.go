package transport

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/limit"
)

// MarkShed notes that the request of ctx is refused before any work, for a
// reason that is fit for a metric's label: it becomes [Request.Shed], and the
// little time that the refusal took says nothing of the server's load. It is for
// middleware that refuses requests, which answers them itself. Outside a
// [Server] it does nothing.
func MarkShed(ctx context.Context, reason string) {
	if s := requestStateOf(ctx); s != nil {
		why := reason // so that only what is stored is allocated
		s.shed.Store(&why)
	}
}

// busyDetail is what callers are told that were refused.
const busyDetail = "the server is busy, try again later"

// A refusal must cost next to nothing: what it says is made once and shared.
// None of it is ever changed.
var (
	busyText    = Problem{Status: http.StatusServiceUnavailable, Detail: busyDetail}.text()
	expiredText = Problem{Status: http.StatusGatewayTimeout, Detail: "the deadline had passed before work began"}.text()

	shedMark  = []string{"1"}
	awayTexts = [...][]string{1: {"1"}, {"2"}, {"3"}}
)

// newExchange returns an exchange in which nothing is set but the server.
func (s *Server) newExchange() *exchange {
	x, ok := s.refused.Get().(*exchange)
	if !ok {
		x = new(exchange)
	}
	x.state.server = s
	return x
}

// giveBack lets x be used again if it ends with its request: what was lent to a
// handler does not.
func (s *Server) giveBack(x *exchange) {
	if !x.state.lent {
		*x = exchange{}
		s.refused.Put(x)
	}
}

// spread is by how many seconds more than the limiter asks for callers are told
// to stay away, at random and less than this many: those who are refused at once
// and told the same would be back at once. Clients of this package are told what
// the limiter asks for. They spread themselves, upwards, and have other instances
// to go to.
const spread = 3

// away returns how long the caller should leave the server alone, as the value
// of Retry-After.
func away(r *http.Request, least time.Duration) []string {
	n := max(1, int((least+time.Second-1)/time.Second))
	if r.Header[HeaderAttempt] == nil {
		n += random.IntN(random.Runtime, spread)
	}
	if n < len(awayTexts) {
		return awayTexts[n]
	}
	return []string{strconv.Itoa(n)}
}

// refuse answers a request that was not admitted.
func (x *exchange) refuse(r *http.Request, err error) {
	h := x.w.Header()
	dropBodyHeaders(h)
	shed, ok := errors.AsType[*limit.ShedError](err)
	if !ok || shed.Reason == limit.ReasonExpired { // the caller has given up, or its time was up before we began
		x.info.Shed = limit.ReasonExpired
		sendProblem(&x.w, r, http.StatusGatewayTimeout, expiredText)
		return
	}
	x.info.Shed = shed.Reason
	h["Retry-After"] = away(r, shed.RetryAfter)
	h[HeaderShed] = shedMark
	sendProblem(&x.w, r, http.StatusServiceUnavailable, busyText)
}
