package transport

import (
	"sync"
	"time"
)

// An alarm tells an attempt when its time is up. Nearly every attempt ends long
// before, and setting a timer and stopping it costs more than all else that an
// alarm does. So its timer stays set from one attempt to the next: when it fires
// too early for the attempt that it finds, it is set for the rest.
type alarm struct {
	mu      sync.Mutex
	timer   *time.Timer
	fires   time.Time // when the timer does, at the latest; zero if it is not set
	attempt *attempt  // nil if the alarm is not set
	at      time.Time // when its time is up
	rang    bool      // since it was last set
}

// alarms are those of a client that nobody uses. They are not shared by clients,
// since timers belong to the synctest bubble that they were made in.
type alarms struct{ free sync.Pool }

// alarmLinger is the longest time for which the timer of an alarm that nobody
// uses stays set. An alarm that is never used again is kept until it fires.
const alarmLinger = 5 * time.Second

// take returns an alarm that rings for a at that time.
func (as *alarms) take(a *attempt, at time.Time) *alarm {
	al, ok := as.free.Get().(*alarm)
	if !ok {
		al = new(alarm)
	}
	al.set(a, at)
	return al
}

// give takes back an alarm that is no longer used, and now is.
func (as *alarms) give(al *alarm, now time.Time) {
	al.rest(now)
	as.free.Put(al)
}

// set makes the alarm ring for a at that time, instead of whatever it was set
// for.
func (al *alarm) set(a *attempt, at time.Time) {
	al.mu.Lock()
	defer al.mu.Unlock()
	al.attempt, al.at, al.rang = a, at, false
	if al.fires.IsZero() || at.Before(al.fires) {
		al.start()
	}
}

// start makes the timer fire when the attempt's time is up.
func (al *alarm) start() {
	al.fires = al.at
	if al.timer == nil {
		al.timer = time.AfterFunc(time.Until(al.at), al.fire)
	} else {
		al.timer.Reset(time.Until(al.at))
	}
}

// stop reports whether it came before the alarm rang.
func (al *alarm) stop() bool {
	al.mu.Lock()
	defer al.mu.Unlock()
	al.attempt = nil
	return !al.rang
}

// rest stops the alarm, and its timer if that would fire much later than now.
func (al *alarm) rest(now time.Time) {
	al.mu.Lock()
	defer al.mu.Unlock()
	al.attempt = nil
	if !al.fires.IsZero() && al.fires.Sub(now) > alarmLinger {
		al.timer.Stop()
		al.fires = time.Time{}
	}
}

// fire runs in a goroutine of its own.
func (al *alarm) fire() {
	if a := al.due(); a != nil {
		a.timeUp()
	}
}

// due returns the attempt whose time is up, or nil.
func (al *alarm) due() *attempt {
	al.mu.Lock()
	defer al.mu.Unlock()
	al.fires = time.Time{}
	a := al.attempt
	switch {
	case a == nil:
		return nil
	case time.Now().Before(al.at):
		al.start()
		return nil
	}
	al.attempt, al.rang = nil, true
	return a
}
