package retry

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// Backoff returns how long to wait before a retry: a random time between zero
// and Base doubled once for each retry before it, at most Cap. retry counts
// from 1. Full jitter spreads callers that failed together over the whole
// interval; source: Brooker, "Exponential Backoff And Jitter", AWS Architecture
// Blog, 2015.
func (p Policy) Backoff(retry int) time.Duration {
	return p.BackoffFrom(retry, random.Runtime)
}

// BackoffFrom is Backoff by chance from src.
func (p Policy) BackoffFrom(retry int, src rand.Source) time.Duration {
	p.Base = cmp.Or(p.Base, min(DefaultBase, cmp.Or(p.Cap, DefaultBase)))
	p.Cap = cmp.Or(p.Cap, max(DefaultCap, p.Base))
	bound := p.Base
	for i := 1; i < retry && bound < p.Cap; i++ {
		bound *= 2
	}
	bound = min(bound, p.Cap)
	if bound <= 0 {
		return 0
	}
	return upTo(bound, src)
}

// JitterUp returns d plus a random 0 to 20 % of it: never earlier than told,
// and clients that were told the same time do not all come back in one moment.
func JitterUp(d time.Duration) time.Duration { return JitterUpFrom(d, random.Runtime) }

// JitterUpFrom is [JitterUp] by chance from src.
func JitterUpFrom(d time.Duration, src rand.Source) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + upTo(d/5, src)
}

// upTo returns a random time from 0 to d.
func upTo(d time.Duration, src rand.Source) time.Duration {
	return min(d, time.Duration(random.Float64(src)*(float64(d)+1)))
}
