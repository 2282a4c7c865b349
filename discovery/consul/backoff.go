package consul

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retries begin after about minBackoff and end up at maxBackoff. The bound
// keeps the way back short once Consul has returned; the jitter keeps the
// clients of a Consul that restarted from returning all at once.
const (
	minBackoff = 500 * time.Millisecond
	maxBackoff = 4 * time.Second
)

// A backoff is the growing pause between the attempts at one thing.
type backoff struct{ last time.Duration }

// next returns the pause before the next attempt, between half of the nominal
// one and all of it.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 2*minBackoff), maxBackoff)
	return b.last/2 + rand.N(b.last/2)
}

func (b *backoff) reset() { b.last = 0 }

// sleep waits for d, or less if ctx ends, which is what it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
