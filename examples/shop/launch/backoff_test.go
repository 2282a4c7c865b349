package launch

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b := backoff{min: 100 * time.Millisecond, max: 2 * time.Second, reset: 10 * time.Second}
	for i, step := range []struct{ up, want time.Duration }{
		{0, 100 * time.Millisecond},
		{time.Second, 200 * time.Millisecond},
		{time.Second, 400 * time.Millisecond},
		{9 * time.Second, 800 * time.Millisecond},
		{0, 1600 * time.Millisecond},
		{0, 2 * time.Second},
		{0, 2 * time.Second},
		{10 * time.Second, 100 * time.Millisecond},
		{0, 200 * time.Millisecond},
	} {
		if got := b.next(step.up); got != step.want {
			t.Errorf("step %d, up %v: got %v, want %v", i, step.up, got, step.want)
		}
	}
}
