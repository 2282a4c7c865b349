package experiments_test

import (
	"testing"

	"github.com/gabion-go/gabion/examples/lab/experiments"
)

func TestRetryStorm(t *testing.T) {
	o := try(t, experiments.RetryStorm())
	for _, variant := range []string{"answers 503", "refuses"} {
		o.between("no-retries", variant, "attempts_per_call", 1, 1)
		o.between("three-tries-a-hop", variant, "attempts_per_call", 26.5, 27.5)
		o.between("four-tries-a-hop", variant, "attempts_per_call", 63, 65)
	}
	for _, variant := range []string{"answers 503", "refuses", "hangs"} {
		o.between("gabion", variant, "attempts_per_call", 0.01, 1.02)
		o.between("gabion", variant, "late", 0, 0.5) // a short outage is mostly its beginning
	}
}
