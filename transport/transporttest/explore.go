package transporttest

import (
	"cmp"
	"testing"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Explore runs the scenarios that scenario makes for the seeds 1 to seeds, on
// all processors, and has check look at each report. A scenario without a seed
// gets the one that it was made for.
//
// Each seed is a subtest, and what Explore says of a failure is what [Seeds]
// does: check's error, the seed and the command that runs it alone, and the
// timeline. Of a scenario that fails, GABION_SHRINK=1 or [WithShrink] looks for
// fewer faults, then for shorter ones, and then for fewer and shorter loads,
// services and replicas; the smallest is printed as JSON and as Go.
//
//	func TestCartSurvives(t *testing.T) {
//		space := transporttest.FaultSpace{On: []string{"pricing-1", "pricing-2"}}
//		transporttest.Explore(t, 1000, func(seed uint64) transporttest.Scenario {
//			return transporttest.Scenario{
//				Services: []transporttest.ServiceSpec{{Name: "cart", Replicas: 2}, {Name: "pricing", Replicas: 3}},
//				Loads:    []load.Load{{Client: "web", Service: "cart", Rate: 20, For: 20 * time.Second}},
//				Faults:   transporttest.RandomFaults(seed, 5, space),
//			}
//		}, func(r *report.Report) error {
//			if got, want := r.Success, 0.999; got < want {
//				return fmt.Errorf("success %v, want at least %v", got, want)
//			}
//			return nil
//		}, transporttest.WithHandler("cart", newCart))
//	}
func Explore(t *testing.T, seeds int, scenario func(seed uint64) Scenario, check func(*report.Report) error, opts ...RunOption) {
	t.Helper()
	cfg := newRunConfig(t, opts)
	name := t.Name()
	overSeeds(t, seeds, func(t *testing.T, seed uint64) {
		t.Helper()
		s := scenario(seed)
		s.Seed = cmp.Or(s.Seed, seed)
		s.Name = cmp.Or(s.Name, name)
		fails := func(s Scenario) error {
			_, err := s.try(name, cfg, check)
			return err
		}
		if err := s.ready(cfg); err != nil {
			t.Fatalf("the scenario of seed %d: %v", seed, err)
		}
		err := fails(s)
		if !cfg.tell(t, name, seed, err) {
			return
		}
		shrinker := newShrinker(t, err)
		least := shrinker.scenario(s, fails)
		t.Logf("%s\n%s", shrinker.summary(len(s.Faults), len(least.Faults)), describe(least))
	})
}
