package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// A halfLife is how long it takes until what was learnt counts for half: 2 to
// that power in nanoseconds, since picks have no time for divisions.
type halfLife uint

// forgotten is after how many half-lives nothing is left.
const forgotten = 4

// halved returns 2^-(age/life), by straight lines between the halvings.
func (life halfLife) halved(age int64) float64 {
	if age <= 0 {
		return 1
	}
	n := uint64(age) >> life
	part := float64(uint64(age)&(1<<life-1)) * power(-int(life)-1)
	return (1 - part) * power(-int(min(n, 1000)))
}

// faded is halved, but nothing is left once it is forgotten.
func (life halfLife) faded(age int64) float64 {
	if age >= forgotten<<life {
		return 0
	}
	return life.halved(age)
}

// power returns 2^n for n from -1022 to 0.
func power(n int) float64 { return math.Float64frombits(uint64(1023+n) << 52) }

// latencyTick is the resolution of the times that share a word with a number.
const latencyTick = 1 << 14

// overtaken is how many ticks a number can be older than one that was noted
// before it, because two goroutines were at it: 17 s.
const overtaken = 1 << 20

// stamp returns a word of a number and the time of it. The number is a float32
// in the low half, the time in ticks in the high half. A zero word says that
// nothing is known.
func stamp(now int64, value float64) uint64 {
	return uint64(uint32(now/latencyTick))<<32 | uint64(math.Float32bits(float32(value)))
}

func stamped(word uint64) float64 { return float64(math.Float32frombits(uint32(word))) }

// latencyAge returns how many nanoseconds ago word was made. Ticks begin again after
// 19 hours, and with them the age of a word that has not changed since: then it
// counts once more, until it fades or changes.
func latencyAge(word uint64, now int64) int64 {
	ticks := uint32(now/latencyTick) - uint32(word>>32)
	if ticks > math.MaxUint32-overtaken {
		return 0
	}
	return int64(ticks) * latencyTick
}

// usual is how long a call is usually expected to take where it goes: a moving
// average over some of the picks. New endpoints are taken to be like that, and
// what is known of others fades towards it.
type usual struct {
	_    [64]byte
	word atomic.Uint64 // a float64
	at   atomic.Int64  // when it last learnt
	_    [48]byte
}

// usualGap is the least time between two changes of what is usual, or of what
// servers have last reported: more would teach little, and every change is felt
// by all processors that pick.
const usualGap = int64(time.Millisecond)

// latency returns it in nanoseconds, 0 if nothing is known.
func (u *usual) latency() float64 { return math.Float64frombits(u.word.Load()) }

// learn takes in what was expected of a pick. What is beyond hot counts as
// hot: it may be one bad endpoint, and if it is all of them it is soon usual.
func (u *usual) learn(expected float64, now int64) {
	if now-u.at.Load() < usualGap {
		return
	}
	u.at.Store(now)
	if was := u.latency(); was > 0 {
		u.set(was + (min(expected, hot*was)-was)/usualSample)
	}
}

// begin takes in the first answer of all.
func (u *usual) begin(took float64) {
	u.word.CompareAndSwap(0, math.Float64bits(took))
}

func (u *usual) set(latency float64) {
	u.word.Store(math.Float64bits(max(latency, float64(time.Nanosecond))))
}
