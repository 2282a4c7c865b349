package transport

import (
	"context"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// A handler that ends at its deadline by a clock of its own may return before
// the timer of its context has run: then the context has a deadline that has
// passed, and no error.
func TestOutOfTimeWithoutTheTimer(t *testing.T) {
	for name, tc := range map[string]struct {
		left time.Duration
		want limit.Outcome
	}{
		"passed": {-time.Nanosecond, limit.Dropped},
		"ahead":  {time.Hour, limit.Succeeded},
	} {
		now := time.Now()
		var x exchange
		x.ctx.Context = context.Background()
		x.ctx.bound(now.Add(tc.left))
		if got := x.limitOutcome(now); got != tc.want {
			t.Errorf("%s: outcome %v, want %v", name, got, tc.want)
		}
	}
}
