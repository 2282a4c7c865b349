// Package clocktest is for tests of what a step of the wall clock must not
// change, as when NTP sets a clock that was wrong, or somebody does it by hand.
package clocktest

import (
	"time"
	"unsafe"
)

// secondShift is where the seconds begin in the first word of a time.Time that
// has a monotonic reading: above the 30 bits of the nanoseconds.
const secondShift = 30

// Step returns t as it would have been read with the wall clock set forward by
// so many seconds, or back if they are negative: its monotonic reading, which t
// must have, stays as it was.
func Step(t time.Time, seconds int) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(seconds)) << secondShift
	return t
}
