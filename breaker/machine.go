package breaker

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/gabion-go/gabion/internal/random"
)

// This file is the state machine. gobreaker keeps the window and decides every
// change of state; changed follows it. gobreaker is told an outcome when the
// call ends and never sees admissions, so what it lacks there (leases, single
// probes, the growing period, the ramp) is decided here. All of it runs under
// Breaker.mu, gobreaker's hooks included.

// machineTimeout is gobreaker's own, fixed open period. It is as short as
// possible because the real one is Breaker.until: gobreaker is not asked
// anything before that is over.
const machineTimeout = time.Nanosecond

// shortestOpen keeps an open period that began in the past, at the end of a
// lease, ahead of machineTimeout.
const shortestOpen = time.Microsecond

// The share of calls let through right after closing is rampStart. The ramp
// goes rampFactor times as fast through the time before each success: at most
// a rampStride of it, or a single call would make a step.
const (
	rampStart  = 0.1
	rampFactor = 4
	rampStride = 20
)

// What gobreaker is told.
var (
	errFailure = errors.New("failure")
	errIgnored = errors.New("ignored")
)

var reports = [...]func() (struct{}, error){
	Success: func() (struct{}, error) { return struct{}{}, nil },
	Failure: func() (struct{}, error) { return struct{}{}, errFailure },
	Ignored: func() (struct{}, error) { return struct{}{}, errIgnored },
}

func isIgnored(err error) bool { return err == errIgnored } //nolint:errorlint // our own value, never wrapped

// reset starts a closed machine with an empty window.
func (b *Breaker) reset() {
	b.newMachine()
	b.state, b.until, b.openFor = Closed, time.Time{}, 0
	b.closed(time.Now())
	b.nextGeneration()
	if b.set.HangAfter > 0 {
		b.hang = newHangWatch(b.set.HangAfter, time.Now())
	}
}

// newMachine gives b a closed machine of the shape that the settings ask for.
func (b *Breaker) newMachine() {
	b.cb = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   uint32(b.set.Probes),
		Interval:      b.set.Window,
		BucketPeriod:  b.set.Bucket,
		Timeout:       machineTimeout,
		ReadyToTrip:   b.readyToTrip,
		OnStateChange: b.changed,
		IsExcluded:    isIgnored,
	})
	b.misfit = false
}

func (b *Breaker) nextGeneration() {
	b.gen++
	b.streak = 0
	b.busyRow = 0
	b.probing = false
	if b.hang != nil {
		clear(b.hang.calls[:])
	}
}

// readyToTrip is asked by gobreaker after each failure in the closed state.
func (b *Breaker) readyToTrip(c gobreaker.Counts) bool {
	if b.moving {
		return true
	}
	if !b.mode.decides() {
		return false
	}
	total := c.TotalSuccesses + c.TotalFailures
	rate := int(total) >= b.set.MinCalls && float64(c.TotalFailures) >= b.set.FailureRatio*float64(total)
	row := b.set.Consecutive > 0 && b.streak >= b.set.Consecutive || b.drowned
	if rate || row {
		b.tripped = b.counts(c)
	}
	return rate || row
}

// changed is told by gobreaker of each change of state, after the fact.
func (b *Breaker) changed(_ string, from, to gobreaker.State) {
	if b.moving {
		return // to where b is already
	}
	now := time.Now()
	b.state = State(to) // the numbers are the same
	switch b.state {
	case Open:
		b.open(now, from == gobreaker.StateHalfOpen)
	case HalfOpen:
		b.until = time.Time{}
	case Closed:
		b.closed(now)
		b.until = time.Time{}
		if b.set.Ramp > 0 {
			b.until = now.Add(b.set.Ramp)
		}
	}
	b.nextGeneration()
	b.publish(now)
}

// closed begins the time after closing.
func (b *Breaker) closed(now time.Time) {
	b.closedAt, b.heard, b.drowned = now, 0, false
}

// open sets the end of the open period. It begins at the end of the lease, and
// lasts no longer than another one, if the probe never reported: that may be the
// caller's fault, and a healthy dependency must be back within two leases.
func (b *Breaker) open(now time.Time, again bool) {
	b.called = false
	again = again || (b.openFor > 0 && now.Sub(b.closedAt) < b.set.Window)
	b.openFor = b.nextOpenFor(again)
	d := b.jittered(b.openFor)
	from := now
	if b.lost {
		from, d = b.until, min(d, b.set.Lease)
	}
	b.until = from.Add(d)
	if earliest := now.Add(shortestOpen); b.until.Before(earliest) {
		b.until = earliest
	}
	b.wakeAt(b.until)
}

func (b *Breaker) nextOpenFor(again bool) time.Duration {
	if !again {
		return b.set.OpenFor
	}
	return min(2*b.openFor, b.set.MaxOpenFor)
}

func (b *Breaker) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + b.set.Jitter*(2*random.Float64(b.cfg.rand)-1)))
}

// count tells gobreaker an outcome, which may change the state.
func (b *Breaker) count(o Outcome) {
	if o == Busy {
		b.hear()
		o = b.countBusy(time.Now())
	}
	switch o {
	case Success:
		b.streak = 0
		b.busyRow = 0
		b.hasten(b.hear())
	case Failure:
		b.streak++
		b.hear()
	}
	before := b.state
	_, _ = b.cb.Execute(reports[o]) // the error is the report itself
	if b.misfit && b.state != before {
		b.reshape()
	}
}

// settle does what time alone brings about.
func (b *Breaker) settle(now time.Time) {
	switch b.state {
	case Open:
		if !now.Before(b.until) {
			b.cb.State() // to half-open, by machineTimeout
		}
	case HalfOpen:
		if b.probing && now.After(b.until) {
			b.lost = true
			b.count(Failure)
			b.lost = false
		}
	case Closed:
		b.settleClosed(now)
	}
}

func (b *Breaker) settleClosed(now time.Time) {
	if !b.until.IsZero() && !now.Before(b.until) {
		b.until = time.Time{}
		b.publish(now)
	}
	if b.hang == nil {
		return
	}
	for n := b.hang.giveUp(now); n > 0 && b.state == Closed; n-- {
		b.count(Failure)
	}
}

// wakeAt settles the state at t even if nobody calls or reads, so that
// subscribers hear of it in time.
func (b *Breaker) wakeAt(t time.Time) {
	if b.timer != nil {
		b.timer.Stop()
	}
	b.timer = time.AfterFunc(time.Until(t), func() { b.State() })
}

// decide admits a call and fills in a, or refuses it.
func (b *Breaker) decide(a *admission, now time.Time) error {
	if b.mode == ModeDisabled {
		return nil
	}
	switch b.shown {
	case Open:
		return b.reject(Open, b.left(now))
	case HalfOpen:
		if b.probing {
			return b.reject(HalfOpen, b.left(now))
		}
		b.probing, a.probe = true, true
		b.until = now.Add(b.set.Lease)
		b.wakeAt(b.until.Add(1)) // a result at the very end still counts
	case Closed:
		if b.ramping() && random.Float64(b.cfg.rand) >= b.rampShare(now) {
			return b.reject(Closed, min(b.left(now), b.set.Ramp/10))
		}
		if b.hang != nil {
			a.slot = b.hang.enter(now)
		}
	}
	a.gen, a.start = b.gen, now
	return nil
}

// hear notes, during the ramp, that an outcome is in, and returns how long there
// was none.
func (b *Breaker) hear() time.Duration {
	if !b.ramping() {
		return 0
	}
	before := b.heard
	b.heard = time.Since(b.closedAt)
	return b.heard - before
}

// hasten brings the end of the ramp nearer by what a success is worth that came
// after so long.
func (b *Breaker) hasten(quiet time.Duration) {
	if b.ramping() {
		b.until = b.until.Add(-(rampFactor - 1) * min(quiet, b.set.Ramp/rampStride))
	}
}

func (b *Breaker) ramping() bool { return b.state == Closed && !b.until.IsZero() }

// rampShare is the share of calls that the ramp lets through at now.
func (b *Breaker) rampShare(now time.Time) float64 {
	done := 1 - float64(b.until.Sub(now))/float64(b.set.Ramp)
	return rampStart + (1-rampStart)*done
}

// left returns how long the period lasts that until ends, 0 if it has no end.
func (b *Breaker) left(now time.Time) time.Duration {
	if b.until.IsZero() {
		return 0
	}
	return max(b.until.Sub(now), 0)
}

// reject returns the refusal of a call that may come again after so long.
func (b *Breaker) reject(s State, after time.Duration) error {
	b.rejected.Add(1)
	return &RejectedError{Name: b.name, State: s, RetryAfter: after}
}

// publish shows callers and subscribers the state.
func (b *Breaker) publish(now time.Time) {
	b.phase.Store(b.currentPhase())
	to := b.visible()
	if to == b.shown {
		return
	}
	e := Event{Name: b.name, From: b.shown, To: to, Mode: b.mode, At: now}
	if to == Open && b.mode.decides() {
		e.OpenFor = b.until.Sub(now)
		if b.shown == Closed {
			e.Counts = b.tripped
		}
	}
	b.shown = to
	b.enqueue(e)
}

func (b *Breaker) visible() State {
	switch b.mode {
	case ModeOpen:
		return Open
	case ModeClosed, ModeDisabled:
		return Closed
	default:
		return b.state
	}
}

// A gate says what a caller can decide without the lock.
type gate uint8

const (
	gateAsk    gate = iota // nothing: take the lock
	gatePass               // pass
	gateTimed              // pass, with the time
	gateRefuse             // refuse before phase.until, or always if that is zero
)

// phase is the part of the state that callers read without the lock. It is
// replaced, never changed.
type phase struct {
	gate  gate
	gen   uint64 // for admission.gen
	until time.Time
	slow  time.Duration // Settings.SlowCall
}

// matters reports whether forgetting b would change what happens to calls soon:
// an operator has set its mode, or it is open.
func (b *Breaker) matters() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mode != b.own() || (b.state == Open && time.Now().Before(b.until))
}

func (b *Breaker) currentPhase() *phase {
	p := &phase{gen: b.gen, slow: b.set.SlowCall}
	switch {
	case b.mode == ModeDisabled:
		p.gate, p.gen = gatePass, 0
	case b.mode == ModeOpen:
		p.gate = gateRefuse
	case b.mode == ModeAuto && b.state == Open:
		p.gate, p.until = gateRefuse, b.until
	case b.state == Closed && !b.ramping() && b.hang == nil:
		p.gate = gatePass
		if b.set.SlowCall > 0 {
			p.gate = gateTimed
		}
	}
	return p
}
