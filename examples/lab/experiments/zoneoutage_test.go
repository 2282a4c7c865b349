package experiments_test

import (
	"testing"

	"github.com/gabion-go/gabion/examples/lab/experiments"
)

func TestZoneOutage(t *testing.T) {
	o := try(t, experiments.ZoneOutage())
	o.between("gabion", "crash", "success", 1, 1)
	o.between("gabion", "crash", "recovery_s", 0, 0)
	for _, variant := range []string{"crash", "partition"} {
		for _, balancer := range []string{"round-robin", "p2c-least-request", "p2c-peak-ewma"} {
			bare, whole := o.figure(balancer, variant, "failed"), o.figure("gabion", variant, "failed")
			if bare <= whole {
				t.Errorf("%s: %s failed %v of the calls, gabion %v, want more", variant, balancer, bare, whole)
			}
		}
	}
}
