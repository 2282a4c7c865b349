package transporttest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// A cart service keeps its promise under many seeds of random faults on its
// neighbours. In a test this is the whole body of TestCartKeepsItsPromise.
func ExampleExplore() {
	_ = func(t *testing.T) {
		space := transporttest.FaultSpace{
			On:    []string{"pricing-1", "pricing-2"},
			Links: [][2]string{{"cart", "pricing-1"}, {"cart", "pricing-2"}},
			Kinds: []transporttest.Kind{transporttest.Crash, transporttest.Partition, transporttest.Latency, transporttest.Panic},
		}
		transporttest.Explore(t, 1000, func(seed uint64) transporttest.Scenario {
			return transporttest.Scenario{
				Services: []transporttest.ServiceSpec{
					{Name: "cart", Replicas: 2, Behaviour: transporttest.Behaviour{Calls: []string{"pricing"}}},
					{Name: "pricing", Replicas: 3},
				},
				Loads:  []load.Load{{Client: "web", Service: "cart", Rate: 20, For: 20 * time.Second}},
				Faults: transporttest.RandomFaults(seed, 4, space),
			}
		}, func(r *report.Report) error {
			if got, want := r.Success, 0.95; got < want {
				return fmt.Errorf("success %v, want at least %v", got, want)
			}
			return nil
		})
	}
}
