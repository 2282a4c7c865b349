package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome says how an attempt ended.
type Outcome uint8

// Outcomes of an attempt.
const (
	Success   Outcome = iota
	Failure           // connect error, reset, or an answer that counts as failed
	Rejected          // refused before any work, by a limit or a breaker
	Cancelled         // given up by the caller
	Timeout           // the attempt's own time ran out
)

// String returns the label value.
func (o Outcome) String() string {
	if names := [...]string{"success", "failure", "rejected", "cancelled", "timeout"}; int(o) < len(names) {
		return names[o]
	}
	return Other
}

// Kind says why an attempt was made.
type Kind uint8

// Kinds of attempts.
const (
	First Kind = iota
	Retry
	Hedge
)

// String returns the label value.
func (k Kind) String() string {
	if names := [...]string{"first", "retry", "hedge"}; int(k) < len(names) {
		return names[k]
	}
	return Other
}

// Shadow says how the answer to a shadow compares with that to the call: a
// shadow is a request that was sent a second time, to another version.
type Shadow uint8

// Results of a shadow.
const (
	ShadowMatch    Shadow = iota // the same status
	ShadowMismatch               // another status
	ShadowError                  // one of the two brought no response
	ShadowDropped                // it was not sent
)

// String returns the label value.
func (s Shadow) String() string {
	if names := [...]string{"match", "mismatch", "error", "dropped"}; int(s) < len(names) {
		return names[s]
	}
	return Other
}

// Fallback says what answered, or was to answer, a call that its service could
// not.
type Fallback uint8

// Kinds of fallbacks.
const (
	FallbackFunction Fallback = iota // a function of the program's
	FallbackLastGood                 // the last good response
	FallbackService                  // another service
	FallbackValue                    // a value
)

// String returns the label value.
func (f Fallback) String() string {
	if names := [...]string{"function", "last_good", "service", "value"}; int(f) < len(names) {
		return names[f]
	}
	return Other
}

// FallbackOutcome says what came of a fallback.
type FallbackOutcome uint8

// Outcomes of a fallback.
const (
	FallbackAnswered FallbackOutcome = iota
	FallbackMissing                  // nothing is remembered
	FallbackFailed                   // it had no answer either
	FallbackRefused                  // too many were running
)

// String returns the label value.
func (o FallbackOutcome) String() string {
	if names := [...]string{"answered", "missing", "failed", "refused"}; int(o) < len(names) {
		return names[o]
	}
	return Other
}

// Reason says why a limit refused a call. Other words than the constants may be
// used; at most 32 distinct ones are kept, then they share [Other].
type Reason string

// Reasons of a rejection.
const (
	ReasonBulkhead     Reason = "bulkhead"      // too many calls in flight to one service
	ReasonBreaker      Reason = "breaker"       // the circuit is open
	ReasonThrottle     Reason = "throttle"      // calls are held back as the service refuses most
	ReasonConcurrency  Reason = "concurrency"   // the adaptive limit is reached
	ReasonQueueFull    Reason = "queue_full"    // no place to wait
	ReasonQueueTimeout Reason = "queue_timeout" // waited too long
	ReasonExpired      Reason = "expired"       // the caller's deadline has passed
	ReasonRate         Reason = "rate"          // too many per second
)

// Client counts the calls to one service. Its methods may be called at the same
// time and do not allocate for a combination of labels seen before.
type Client struct {
	service   string // as given: Forget may free its label
	m         *Metrics
	durations children[clientKey, *durations]
	attempts  children[attemptKey, prometheus.Counter]
	exhausted children[struct{}, prometheus.Counter]
	rejected  children[rejectKey, prometheus.Counter]
	shadows   children[Shadow, prometheus.Counter]
	spared    children[string, prometheus.Counter]
	fallbacks children[fallbackKey, prometheus.Counter]
}

type clientKey struct {
	method, errType string
	status          int
}

type attemptKey struct {
	outcome Outcome
	kind    Kind
}

type fallbackKey struct {
	kind    Fallback
	outcome FallbackOutcome
}

type rejectKey struct{ reason, criticality string }

// Client returns the handle for calls to service, the same one for the same
// name. Use [Unknown] for services that never resolved. Names beyond the limit
// share one handle.
func (m *Metrics) Client(service string) *Client {
	if label := m.services.label(service); label == Overflow || label == Unknown {
		service = label
	}
	if c, ok := m.clients.Load(service); ok {
		return c.(*Client)
	}
	c, _ := m.clients.LoadOrStore(service, newClient(m, service))
	return c.(*Client)
}

func newClient(m *Metrics, service string) *Client {
	c := &Client{service: service, m: m}
	c.durations = children[clientKey, *durations]{epoch: &m.epoch, mu: &m.mu, resolve: c.duration}
	c.attempts = children[attemptKey, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.attempt}
	c.exhausted = children[struct{}, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.budget}
	c.rejected = children[rejectKey, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.rejection}
	c.spared = children[string, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.spare}
	c.shadows = children[Shadow, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.shadow}
	c.fallbacks = children[fallbackKey, prometheus.Counter]{epoch: &m.epoch, mu: &m.mu, resolve: c.fallback}
	return c
}

func (c *Client) label() string { return c.m.services.label(c.service) }

func (c *Client) duration(k clientKey) *durations {
	code := codeLabel(k.status)
	if k.errType == "" && k.status >= 400 {
		k.errType = code // as the OpenTelemetry conventions have it
	}
	return newDurations(c.m.clientDuration.WithLabelValues(k.method, code, c.label(), k.errType))
}

func (c *Client) attempt(k attemptKey) prometheus.Counter {
	return c.m.attempts.WithLabelValues(c.label(), k.outcome.String(), k.kind.String())
}

func (c *Client) budget(struct{}) prometheus.Counter {
	return c.m.budgetExhausted.WithLabelValues(c.label())
}

func (c *Client) shadow(s Shadow) prometheus.Counter {
	return c.m.shadows.WithLabelValues(c.label(), s.String())
}

func (c *Client) fallback(k fallbackKey) prometheus.Counter {
	return c.m.fallbacks.WithLabelValues(c.label(), k.kind.String(), k.outcome.String())
}

func (c *Client) spare(reason string) prometheus.Counter {
	return c.m.spared.WithLabelValues("client", c.label(), reason)
}

func (c *Client) rejection(k rejectKey) prometheus.Counter {
	return c.m.rejected.WithLabelValues("client", c.label(), k.reason, k.criticality)
}

// Request records one whole call. status is 0 if no response came. errType is
// empty or a short stable word such as timeout; at most 64 distinct ones are
// kept, and texts of more than a word become [Other]. If it is empty and status is 400 or more, the status takes its place.
// A negative d counts as 0.
func (c *Client) Request(method string, status int, errType string, d time.Duration) {
	c.observer(method, status, errType).Observe(seconds(d))
}

// RequestExemplar is like [Client.Request] and, if ctx carries a sampled span,
// attaches its trace id as an exemplar, once a second for each bucket: it costs
// allocations. Exemplars are shown in the OpenMetrics format only.
func (c *Client) RequestExemplar(ctx context.Context, method string, status int, errType string, d time.Duration) {
	c.observer(method, status, errType).observe(ctx, d)
}

func (c *Client) observer(method string, status int, errType string) *durations {
	return c.durations.get(clientKey{
		method: methodLabel(method), errType: c.m.errorTypes.label(errType), status: statusCode(status),
	})
}

// startAtZero makes the counters of the service that most callers need.
func (c *Client) startAtZero() {
	for o := range Timeout + 1 {
		c.attempts.get(attemptKey{o, First})
	}
	c.attempts.get(attemptKey{Success, Retry})
	c.exhausted.get(struct{}{})
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	for _, to := range []string{"closed", "half-open", "open"} {
		c.m.transitions.WithLabelValues(c.label(), c.m.breakerStates.label(to))
	}
}

// Attempt counts one attempt of a call.
func (c *Client) Attempt(o Outcome, k Kind) {
	c.attempts.get(attemptKey{min(o, Timeout+1), min(k, Hedge+1)}).Inc()
}

// BudgetExhausted counts a call whose retry was due and not in the budget. Hedges
// do not count: they stop while half of the budget is left, and their share is
// meant to be used up.
func (c *Client) BudgetExhausted() { c.exhausted.get(struct{}{}).Inc() }

// Shadow counts a shadow of a call.
func (c *Client) Shadow(s Shadow) { c.shadows.get(min(s, ShadowDropped+1)).Inc() }

// Fallback counts a fallback that was tried for a call.
func (c *Client) Fallback(f Fallback, o FallbackOutcome) {
	c.fallbacks.get(fallbackKey{min(f, FallbackValue+1), min(o, FallbackRefused+1)}).Inc()
}

// ShadowRejected counts a call that a limit on the client side would have refused
// and let through, because its settings say that it only shadows.
func (c *Client) ShadowRejected(reason Reason) {
	c.spared.get(c.m.reasons.label(string(reason))).Inc()
}

// Rejected counts a call that a limit on the client side refused. An empty
// criticality means critical.
func (c *Client) Rejected(reason Reason, criticality string) {
	c.rejected.get(rejectKey{c.m.reasons.label(string(reason)), criticalityLabel(criticality)}).Inc()
}
