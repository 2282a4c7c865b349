package breaker

import "time"

// Update changes the settings while b is in use; zero fields mean their
// defaults, and an error joins everything that is wrong, in which case nothing
// changes. What b has learnt stays:
//
//   - The state stays. An open circuit stays open, for MaxOpenFor from now at
//     most; a ramp under way goes on from where it is, at its new pace; a probe
//     under way keeps its lease.
//   - The window stays, unless Window or Bucket changes, which empties it. What
//     has begun half-open ends with the Probes that it began with. Failures in a
//     row go on being counted.
//   - Thresholds are looked at when the next failure comes in.
//   - Calls under way count when they end, by the settings of that moment. They
//     do not count if HangAfter changes, and those that began before SlowCall
//     was set at all are not slow.
//   - A mode that an operator has set by [Breaker.Force] stays; otherwise Shadow
//     decides between ModeAuto and ModeShadow.
//
// Calls neither wait for Update nor does it slow them down.
func (b *Breaker) Update(s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	s = s.inForce()
	now := time.Now()
	b.mu.Lock()
	b.settle(now)
	b.adopt(&s, now)
	b.publish(now)
	b.mu.Unlock()
	b.deliver()
	return nil
}

// Settings returns the settings in force, defaults filled in and negative
// values, which mean "none", as zero.
func (b *Breaker) Settings() Settings {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.set
}

// adopt makes s the settings in force. It is called under the lock.
func (b *Breaker) adopt(s *Settings, now time.Time) {
	old := b.set
	byOperator := b.mode != b.own()
	b.set = s
	if !byOperator {
		b.mode = b.own()
	}
	window := s.Window != old.Window || s.Bucket != old.Bucket
	if window || s.Probes != old.Probes {
		b.misfit = true // until the next change of state at the latest
	}
	if b.misfit && b.state == Open || window && b.state == Closed {
		b.reshape()
	}
	if s.HangAfter != old.HangAfter {
		b.watchAnew(now)
	}
	switch {
	case b.state == Open:
		b.openUntil(now)
	case b.ramping():
		b.until = rampEnd(now, b.until, old.Ramp, s.Ramp)
	}
}

// openUntil keeps the end of the open period within what the settings allow and
// ahead of a machine that may just have been made: see shortestOpen.
func (b *Breaker) openUntil(now time.Time) {
	switch latest, earliest := now.Add(b.set.MaxOpenFor), now.Add(shortestOpen); {
	case b.until.After(latest):
		b.until = latest
	case b.until.Before(earliest):
		b.until = earliest
	default:
		return
	}
	b.wakeAt(b.until)
}

// own is the mode that b has if no operator sets one.
func (b *Breaker) own() Mode {
	if b.set.Shadow {
		return ModeShadow
	}
	return ModeAuto
}

// reshape replaces the machine by one of the shape that the settings ask for, in
// the same state, which must not be half-open: gobreaker gets there by time
// alone.
func (b *Breaker) reshape() {
	b.newMachine()
	if b.state == Open {
		b.moving = true
		_, _ = b.cb.Execute(reports[Failure])
		b.moving = false
	}
}

// watchAnew begins a new watch of calls that hang. The calls under way are not
// in it, so they are late from now on; a probe is never in it.
func (b *Breaker) watchAnew(now time.Time) {
	b.hang = nil
	if b.set.HangAfter > 0 {
		b.hang = newHangWatch(b.set.HangAfter, now)
	}
	if b.state == Closed {
		b.gen++
	}
}

// rampEnd is when a ramp that was to end at until ends at its new pace, zero if
// there is none any more.
func rampEnd(now, until time.Time, old, pace time.Duration) time.Time {
	if pace <= 0 {
		return time.Time{}
	}
	left := float64(until.Sub(now)) / float64(old)
	return now.Add(time.Duration(left * float64(pace)))
}
