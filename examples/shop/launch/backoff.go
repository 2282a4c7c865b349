package launch

import "time"

// backoff is the growing wait before a restart.
type backoff struct {
	min, max, reset time.Duration
	last            time.Duration
}

// next returns how long to wait before starting a process again that ran for
// up. It doubles from min to max and begins anew after a life of reset or more.
func (b *backoff) next(up time.Duration) time.Duration {
	if up >= b.reset || b.last == 0 {
		b.last = b.min
	} else {
		b.last = min(2*b.last, b.max)
	}
	return b.last
}
