package breaker

import "time"

// hangSlots is into how many steps HangAfter is divided: a call is noticed
// after at most HangAfter and one step.
const hangSlots = 8

// A hangWatch counts the calls under way by the time at which they started, so
// that those which do not end can be counted as failures without a list of
// them. The breaker's lock guards it.
type hangWatch struct {
	after, step time.Duration
	base        time.Time
	tail        int64 // first slot not yet given up
	calls       [hangSlots + 2]int
}

func newHangWatch(after time.Duration, now time.Time) *hangWatch {
	return &hangWatch{after: after, step: after / hangSlots, base: now}
}

// enter adds a call and returns its slot. giveUp must have been called with the
// same now.
func (h *hangWatch) enter(now time.Time) int64 {
	slot := int64(now.Sub(h.base) / h.step)
	h.calls[slot%int64(len(h.calls))]++
	return slot
}

// leave removes a call and reports whether it was still waited for.
func (h *hangWatch) leave(slot int64) bool {
	if slot < h.tail {
		return false
	}
	h.calls[slot%int64(len(h.calls))]--
	return true
}

// giveUp stops waiting for calls older than the limit and returns how many.
func (h *hangWatch) giveUp(now time.Time) int {
	hung := 0
	end := int64((now.Sub(h.base) - h.after) / h.step) // slots before end are too old
	for n := 0; h.tail < end; h.tail++ {
		if n++; n > len(h.calls) {
			h.tail = end // a full turn: every slot is empty by now
			break
		}
		slot := h.tail % int64(len(h.calls))
		hung += h.calls[slot]
		h.calls[slot] = 0
	}
	return hung
}
