package breaker

import "time"

// countBusy returns what a call counts as that found the dependency busy now.
func (b *Breaker) countBusy(now time.Time) Outcome {
	switch b.state {
	case HalfOpen:
		if b.drowned {
			return Failure
		}
		return Success
	case Closed:
		at := now.Sub(b.closedAt)
		if b.busyRow++; b.busyRow == 1 {
			b.busySince = at
		}
		b.drowned = b.busyRow >= b.set.MinCalls && at-b.busySince >= b.set.Window
		if b.drowned {
			return Failure
		}
	}
	return Ignored
}
