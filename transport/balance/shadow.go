package balance

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/internal/random"
)

// DefaultShadows is the default of [Shadow.MaxInFlight].
const DefaultShadows = 16

// Shadow sends a part of the requests a second time, to instances of another
// version, to see how that one answers before it gets any calls. Nobody waits
// for the second answer, which is thrown away but for its status.
//
//	{"select": {"version": "v2"}, "percent": 10}
//
// The instances need not be among those that [Policy.Select] names. One that is
// left out, drains or rests gets no shadows, and calls that go to such an
// instance themselves have none. Shadows count as load there and as nothing
// else: they neither eject an endpoint nor bring it back, and teach nothing
// about its latency, so that they change nothing for the calls that count.
//
// Only GET, HEAD and OPTIONS requests are sent twice, unless Writes is set. One
// that has a body is if the body could be replayed in a retry. A shadow is sent
// once at most: it is not retried, whatever becomes of it.
//
// A shadow may outlive the call, which does not wait for it, but not the time
// that the call had: it is given what was left of that when it was sent, and no
// more than an attempt's time, and its server is told so.
//
// The zero Shadow is off.
type Shadow struct {
	// Select names the instances.
	Select Selector `json:"select,omitzero"`
	// Percent of the requests, from 0 to 100.
	Percent float64 `json:"percent,omitzero"`
	// Writes makes requests sent twice that change something but are idempotent:
	// PUT, DELETE and whatever carries an Idempotency-Key. That is right only if
	// the instances keep what they change to themselves: otherwise a shadow may
	// come first, and the call find its work done.
	Writes bool `json:"writes,omitzero"`
	// MaxInFlight bounds the shadows that a client has on their way; what would
	// be more is dropped. Default 16.
	MaxInFlight int `json:"max_in_flight,omitzero"`
}

func (s *Shadow) on() bool { return s.Percent > 0 }

func (s *Shadow) withDefaults() {
	if s.on() {
		s.MaxInFlight = cmp.Or(s.MaxInFlight, DefaultShadows)
	}
}

func (s *Shadow) validate() error {
	var errs []error
	if !(s.Percent >= 0 && s.Percent <= 100) { // NaN too
		errs = append(errs, fmt.Errorf("balance: shadow percent %v: want 0 to 100", s.Percent))
	}
	if s.on() && s.Select.empty() {
		errs = append(errs, errors.New("balance: shadow select: names no version, tags or meta"))
	}
	if s.MaxInFlight < 0 {
		errs = append(errs, fmt.Errorf("balance: shadow max_in_flight %d: must not be negative", s.MaxInFlight))
	}
	return errors.Join(errs...)
}

// Shadow returns which requests are sent twice, with defaults filled in, or nil
// if none is. It is shared: do not change it.
func (b *Balancer) Shadow() *Shadow {
	if v := b.view.Load(); v.shadow != nil {
		return &v.policy.Shadow
	}
	return nil
}

// newShadow returns the endpoints that get shadows, or nil if there are none to
// be sent. The lock must be held.
func (b *Balancer) newShadow() *set {
	if !b.policy.Shadow.on() {
		return nil
	}
	s := &set{rand: b.rand, slowFor: b.policy.SlowStart, picker: single{}}
	for _, e := range selected(b.all, &b.policy.Shadow.Select) {
		if e.State() == Available {
			s.active = append(s.active, e)
		}
	}
	s.weigh()
	return s
}

// PickShadow chooses the endpoint that a call which goes to primary is sent to
// as well, and counts it as in flight there until [Endpoint.ShadowDone]. It
// returns nil if chance or the policy is against it.
func (b *Balancer) PickShadow(primary *Endpoint) *Endpoint {
	v := b.view.Load()
	if v.shadow == nil || len(v.shadow.active) == 0 {
		return nil
	}
	p := &v.policy.Shadow
	if p.Percent < 100 && 100*random.Float64(b.rand) >= p.Percent || p.Select.Matches(primary.instance.Load()) {
		return nil
	}
	c := newCandidates(v.shadow, b.now(), nil)
	i := v.shadow.picker.Pick(c)
	if i < 0 {
		return nil
	}
	e := v.shadow.active[i]
	e.answered.Add(1) // nobody waits for it
	e.inflight.begin()
	return e
}

// ShadowDone ends the shadow that began when PickShadow returned e. Call it
// exactly once for each.
func (e *Endpoint) ShadowDone() {
	e.cancelled.Add(1) // it says nothing about how calls end
	e.answered.Add(-1)
	e.inflight.end()
}
