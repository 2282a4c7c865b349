package limit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

const (
	// fewCalls may fail in a window before the throttle takes notice: of a
	// handful of calls nothing can be concluded.
	fewCalls = 5
	// probeEvery is the longest time for which all calls are held back.
	probeEvery = time.Second
)

// ErrThrottled: the call was held back, because the service has been refusing
// most calls. Nothing was sent.
var ErrThrottled = errors.New("limit: call throttled")

// A ThrottledError is a call that a [Throttle] held back. It matches
// [ErrThrottled].
type ThrottledError struct {
	// Rejecting is the share of calls that was being held back, above 0 and
	// below 1.
	Rejecting float64
}

// Error says how much was being held back.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v: holding back %.0f %%", ErrThrottled, 100*e.Rejecting)
}

// Is reports whether target is [ErrThrottled].
func (e *ThrottledError) Is(target error) bool { return target == ErrThrottled }

// A Throttle holds calls to one service back when the service refuses most of
// them, so that its refusals do not become its main work. Unlike a circuit it
// never stops all calls and is never either open or closed: it sends about K
// times as many calls as are accepted, whatever share of them that is.
//
// A call is held back with probability
//
//	max(0, (requests - 5 - K*accepts) / (requests + 1))
//
// of the calls of a rolling window, those that were held back included. Source:
// "Handling Overload", Site Reliability Engineering, O'Reilly 2016, chapter 21.
// Four things are not as there:
//   - A call counts when its outcome is known, not when it is sent: calls that
//     are merely slow do not look refused.
//   - The 5 lets a few calls fail before anything is concluded from them.
//   - If nothing has been sent for one second the next call is sent, so that
//     recovery is noticed even if nothing in the window was accepted.
//   - The formula is also taken of the calls of the last few moments alone, and
//     the lower of the two probabilities holds. A service that accepts again
//     gets K times more load every second or two until all of it is back; by the
//     window alone it would take minutes.
//
// A Throttle is safe for concurrent use, locks nothing, allocates nothing and
// starts no goroutine.
type Throttle struct {
	start  time.Time
	active atomic.Pointer[throttleState]
	// sent is when a call was last let through though others are held back, as
	// the time since start.
	sent atomic.Int64
}

// throttleState is a policy in force and what was counted under it.
type throttleState struct {
	policy  ThrottlePolicy // defaults filled in
	tallies *tallies
}

// NewThrottle returns a throttle that has seen no calls. The error joins
// everything that is wrong with p.
func NewThrottle(p ThrottlePolicy) (*Throttle, error) {
	t := &Throttle{start: time.Now()}
	if err := t.Update(p); err != nil {
		return nil, err
	}
	return t, nil
}

// Update changes the policy. What has been counted stays, unless the window
// changes. If p is not valid nothing changes, and the error joins everything
// that is wrong with it.
func (t *Throttle) Update(p ThrottlePolicy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	p = p.WithDefaults()
	s := &throttleState{policy: p}
	if old := t.active.Load(); old != nil && old.policy.On && old.policy.Window == p.Window {
		s.tallies = old.tallies
	} else {
		s.tallies = &tallies{width: p.Window / tallyCount}
	}
	t.active.Store(s)
	return nil
}

// Policy returns the policy in force, defaults filled in.
func (t *Throttle) Policy() ThrottlePolicy { return t.active.Load().policy }

// Allow reports whether to send a call; draw is where chance comes from, nil
// means the runtime's generator. A call that is held back is counted here. One
// that is let through is to be followed by Done, unless its outcome says
// nothing of the service, as when the caller gave up.
func (t *Throttle) Allow(draw rand.Source) bool {
	s := t.active.Load()
	if !s.policy.On {
		return true
	}
	now := time.Since(t.start)
	p := s.rejecting(now)
	if p == 0 {
		return true
	}
	if t.hold(now, p, draw) {
		s.tallies.add(now, false)
		return false
	}
	t.sent.Store(int64(now))
	return true
}

// hold draws whether to hold a call back, and does not if it is time for a
// probe.
func (t *Throttle) hold(now time.Duration, p float64, draw rand.Source) bool {
	if draw == nil {
		draw = random.Runtime
	}
	if random.Float64(draw) >= p {
		return false
	}
	last := t.sent.Load()
	probe := int64(now)-last >= int64(probeEvery) && t.sent.CompareAndSwap(last, int64(now))
	return !probe
}

// Done tells what became of a call that Allow let through. accepted is false
// if the service was overloaded or failed: no response, one that took too long,
// 429, or 5xx. An answer that only the caller dislikes was accepted.
func (t *Throttle) Done(accepted bool) {
	if s := t.active.Load(); s.policy.On {
		s.tallies.add(time.Since(t.start), accepted)
	}
}

// Rejecting returns the probability with which a call would be held back now:
// from 0 to just below 1.
func (t *Throttle) Rejecting() float64 {
	s := t.active.Load()
	if !s.policy.On {
		return 0
	}
	return s.rejecting(time.Since(t.start))
}

// Err returns the error of a call that was held back: a [*ThrottledError].
func (t *Throttle) Err() error { return &ThrottledError{Rejecting: t.Rejecting()} }

func (s *throttleState) rejecting(now time.Duration) float64 {
	if s.tallies.clean(now) {
		return 0
	}
	all, recent := s.tallies.sum(now)
	over := float64(all.requests) - fewCalls - s.policy.K*float64(all.accepts)
	if over <= 0 {
		return 0
	}
	p := over / float64(all.requests+1)
	if recent.accepts > 0 {
		p = min(p, max(0, 1-s.policy.K*float64(recent.accepts)/float64(recent.requests)))
	}
	return p
}
