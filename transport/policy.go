package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// Defaults of a [Policy].
const (
	DefaultTimeout        = 5 * time.Second
	DefaultAttemptTimeout = 2 * time.Second
)

// A Policy says how calls to one service are made. It is plain data, and the
// zero value of every field stands for its default, so that the zero Policy is
// the one to start with. In JSON, durations are strings such as "250ms".
type Policy struct {
	// Timeout bounds a whole call: all attempts, the waits between them and
	// the response body. A caller's earlier deadline holds. Default 5 s.
	Timeout time.Duration
	// AttemptTimeout bounds one attempt up to the response's header. Default
	// 2 s; what is left of the call's time bounds it too.
	AttemptTimeout time.Duration
	// ResponseBytes is the most a response body may have, counted as it is
	// read; past it, reading fails with ErrBodyTooLarge. Zero is no limit: a
	// body passes by and is not kept here, so that how much is too much is for
	// those to say who read it into memory. A response's header is bounded in
	// any case, by 64 KiB.
	ResponseBytes int64
	// Retry says when a failed attempt is followed by another.
	Retry retry.Policy
	// Hedge says when a call that is late is sent a second time, elsewhere.
	Hedge retry.Hedge
	// Breaker says when to stop calling the service as a whole.
	Breaker breaker.Settings
	// Throttle, where it is on, takes the place of the circuit breaker: calls
	// are held back in proportion to what the service refuses, never all.
	Throttle limit.ThrottlePolicy
	// Balance says which instance gets a call.
	Balance balance.Policy
	// Limit bounds the calls in flight.
	Limit limit.Policy
	// Fallback says what answers when the service cannot.
	Fallback Fallback
	// Routes are what some calls have of their own, by the pattern that their
	// method and path match: patterns as of an [http.ServeMux], without a host,
	// such as "GET /v1/products/{id}".
	Routes map[string]Route
}

// policyJSON is Policy as it is written down.
type policyJSON struct {
	Timeout        duration.Duration    `json:"timeout,omitzero"`
	AttemptTimeout duration.Duration    `json:"attempt_timeout,omitzero"`
	ResponseBytes  int64                `json:"response_bytes,omitzero"`
	Retry          retry.Policy         `json:"retry,omitzero"`
	Hedge          retry.Hedge          `json:"hedge,omitzero"`
	Breaker        breaker.Settings     `json:"breaker,omitzero"`
	Throttle       limit.ThrottlePolicy `json:"throttle,omitzero"`
	Balance        balance.Policy       `json:"balance,omitzero"`
	Limit          limit.Policy         `json:"limit,omitzero"`
	Fallback       Fallback             `json:"fallback,omitzero"`
	Routes         map[string]Route     `json:"routes,omitempty"`
}

func (p Policy) json() policyJSON {
	return policyJSON{
		Timeout:        duration.Duration(p.Timeout),
		AttemptTimeout: duration.Duration(p.AttemptTimeout),
		ResponseBytes:  p.ResponseBytes,
		Retry:          p.Retry, Hedge: p.Hedge, Breaker: p.Breaker, Throttle: p.Throttle, Balance: p.Balance, Limit: p.Limit,
		Fallback: p.Fallback, Routes: p.Routes,
	}
}

// MarshalJSON writes the fields that are set.
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }

// UnmarshalJSON reads a policy; fields that are absent keep their value, and
// names that are unknown are refused. Routes are replaced one by one: those that
// the document does not name stay. It checks form only: call
// [Policy.Validate] for the rest.
func (p *Policy) UnmarshalJSON(data []byte) error {
	j := p.json()
	j.Routes = maps.Clone(p.Routes) // the decoder writes into the map that it is given
	if err := strictjson.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("transport: policy: %w", err)
	}
	if len(j.Routes) == 0 {
		j.Routes = nil
	}
	*p = Policy{
		Timeout: time.Duration(j.Timeout), AttemptTimeout: time.Duration(j.AttemptTimeout),
		ResponseBytes: j.ResponseBytes,
		Retry:         j.Retry, Hedge: j.Hedge, Breaker: j.Breaker, Throttle: j.Throttle, Balance: j.Balance, Limit: j.Limit,
		Fallback: j.Fallback, Routes: j.Routes,
	}
	return nil
}

// WithDefaults returns p with every zero field set to its default, but for what
// is off. Routes stay as they are: their zero fields are the service's.
func (p Policy) WithDefaults() Policy {
	p.Timeout, p.AttemptTimeout = p.timeout(), p.attemptTimeout()
	p.Retry, p.Breaker = p.Retry.WithDefaults(), p.Breaker.WithDefaults()
	if p.Hedge.On {
		p.Hedge = p.Hedge.WithDefaults()
	}
	if !p.Fallback.IsZero() {
		p.Fallback.MaxInFlight = int(p.Fallback.maxInFlight())
	}
	p.Balance = p.Balance.WithDefaults()
	p.Limit = p.Limit.WithDefaults()
	if p.Throttle.On {
		p.Throttle = p.Throttle.WithDefaults()
	}
	return p
}

// Validate reports every setting that makes no sense, joined. Custom are the
// names of balancing policies that are not of package balance: see
// [WithPicker].
func (p Policy) Validate(custom ...string) error {
	call := p.validateCall()
	base := p
	if call != nil { // what is wrong with the service is not said again for each route
		base = Policy{Routes: p.Routes}
	}
	return errors.Join(call, p.Breaker.Validate(), p.Throttle.Validate(), p.Balance.Validate(custom...), p.Limit.Validate(), base.validateRoutes())
}

// validateCall checks what can differ from route to route.
func (p Policy) validateCall() error {
	var errs []error
	negative := func(name string, d time.Duration) {
		if d < 0 {
			errs = append(errs, fmt.Errorf("transport: policy: %s is %v, must not be negative", name, d))
		}
	}
	negative("timeout", p.Timeout)
	negative("attempt_timeout", p.AttemptTimeout)
	if p.ResponseBytes < 0 {
		errs = append(errs, fmt.Errorf("transport: policy: response_bytes is %d, must not be negative", p.ResponseBytes))
	}
	if t, a := p.timeout(), p.AttemptTimeout; a > t {
		errs = append(errs, fmt.Errorf("transport: policy: attempt_timeout %v is longer than timeout %v, so no attempt could time out and be retried", a, t))
	}
	return errors.Join(append(errs, p.Retry.Validate(), p.Hedge.Validate(), p.Fallback.Validate())...)
}

func (p *Policy) timeout() time.Duration {
	if p.Timeout == 0 {
		return DefaultTimeout
	}
	return p.Timeout
}

func (p *Policy) attemptTimeout() time.Duration {
	if p.AttemptTimeout == 0 {
		return min(DefaultAttemptTimeout, p.timeout())
	}
	return p.AttemptTimeout
}
