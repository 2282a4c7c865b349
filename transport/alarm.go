package transport

import (
	"sync"
	"time"
)

// An alarm tells an attempt when its time is up. One that was stopped in time
// serves another attempt: a timer that has not fired and never will is as good
// as new.
type alarm struct {
	timer   *time.Timer
	attempt *attempt
	set     bool // and not stopped
	missed  bool // it was not stopped in time: its function may still run
}

// alarms are those of a client that nobody uses. They are not shared by clients,
// since timers belong to the synctest bubble that they were made in.
type alarms struct{ free sync.Pool }

// take returns an alarm that rings for a after d.
func (as *alarms) take(a *attempt, d time.Duration) *alarm {
	al, ok := as.free.Get().(*alarm)
	if !ok {
		al = &alarm{attempt: a, set: true}
		al.timer = time.AfterFunc(d, al.ring)
		return al
	}
	al.attempt = a
	al.start(d)
	return al
}

// give takes back an alarm that is no longer used.
func (as *alarms) give(al *alarm) {
	if al.stop() {
		al.attempt = nil
		as.free.Put(al)
	}
}

// ring runs in a goroutine of its own.
func (al *alarm) ring() { al.attempt.timeUp() }

// start makes a stopped alarm ring after d.
func (al *alarm) start(d time.Duration) {
	al.set = true
	al.timer.Reset(d)
}

// stop reports whether it came before the alarm rang.
func (al *alarm) stop() bool {
	if al.set {
		al.set = false
		al.missed = !al.timer.Stop()
	}
	return !al.missed
}
