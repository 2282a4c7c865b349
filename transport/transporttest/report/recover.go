package report

import (
	"slices"
	"time"
)

// RecoveredAfter returns how long after t the calls were well again and stayed
// so until the report ends: in each second from then on, counted from t, at
// least share of the calls were OK. It is a whole number of seconds, and 0 if
// calls were well all the time. Seconds without calls prove nothing; ok is
// false if there is no second from which on it held.
func (r *Report) RecoveredAfter(t time.Duration, share float64) (after time.Duration, ok bool) {
	type count struct{ calls, ok int }
	var seconds []count
	for c := range r.data.callsIn(r.window) {
		if c.start < t {
			continue
		}
		n := second(c.start - t)
		if more := n + 1 - len(seconds); more > 0 {
			seconds = append(seconds, make([]count, more)...)
		}
		seconds[n].calls++
		if c.ok {
			seconds[n].ok++
		}
	}
	bad := -1
	for i, s := range slices.Backward(seconds) {
		if float64(s.ok) < share*float64(s.calls) {
			bad = i
			break
		}
	}
	return time.Duration(bad+1) * time.Second, bad+1 < len(seconds)
}
