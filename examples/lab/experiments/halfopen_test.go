package experiments_test

import (
	"testing"

	"github.com/gabion-go/gabion/examples/lab/experiments"
)

func TestHalfOpen(t *testing.T) {
	o := try(t, experiments.HalfOpen())
	o.between("gobreaker", "", "probes_at_once", 10, 10)
	o.between("gobreaker", "", "largest_step", 1, 1)
	o.between("gabion", "", "probes_at_once", 1, 1)
	o.between("gabion", "", "largest_step", 0.05, 0.2)
	o.between("gabion", "", "share_first", 0.05, 0.2)
	o.between("gabion", "", "full_after_s", 1.2, 1.6)
}
