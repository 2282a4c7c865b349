package breaker

import (
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// ProbeSoon says that there is reason to believe that the dependency is back,
// such as new instances of it. If the circuit is open, it may then be probed
// earlier: from some moment of the next Settings.OpenFor on, by chance, so that
// many who hear the same do not probe together. Only the first ProbeSoon in an
// open period counts. Whatever the probe brings, nothing else changes: the next
// period grows as it would have.
func (b *Breaker) ProbeSoon() {
	b.mu.Lock()
	now := time.Now()
	b.settle(now)
	if b.state == Open && !b.called {
		b.called = true
		soon := time.Duration(random.Float64(b.cfg.rand) * float64(b.set.OpenFor))
		if at := now.Add(max(soon, shortestOpen)); at.Before(b.until) {
			b.until = at
			b.wakeAt(at)
			b.publish(now)
		}
	}
	b.mu.Unlock()
	b.deliver()
}
