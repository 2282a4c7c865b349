package experiments_test

import (
	"testing"

	"github.com/gabion-go/gabion/examples/lab/experiments"
)

func TestRollingRestart(t *testing.T) {
	o := try(t, experiments.RollingRestart())
	o.between("round-robin", "drains 2 s", "success", 1, 1)
	o.between("round-robin", "drains 0 s", "failed", 1, 100)
	o.between("gabion", "drains 2 s", "success", 1, 1)
	o.between("gabion", "drains 0 s", "success", 1, 1)
}
