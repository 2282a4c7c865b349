package balance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// An endpoint that fails at once looks fast and idle. From a second after it
// began on it gets next to nothing, whatever the policy: it is ejected, or cut
// off. One of two is not ejected, but the default policy takes it for slow.
func TestFailingFastGetsNothing(t *testing.T) {
	const often = 20 * time.Second
	for _, c := range []struct {
		policies        []string
		endpoints, rate int
		measured        time.Duration
	}{
		{policies, 10, 100, often},
		{[]string{balance.PeakEWMA}, 2, 100, often},
		{[]string{balance.PeakEWMA}, 2, 1000, 5 * time.Second},
		{[]string{balance.PeakEWMA}, 3, 100, often},
		{[]string{balance.PeakEWMA}, 10, 10, time.Minute},
		{[]string{balance.PeakEWMA}, 10, 1000, 5 * time.Second},
	} {
		for _, policy := range c.policies {
			for name, sick := range map[string]service{
				"fails":     fails(balance.Failure, ms),
				"refuses":   fails(balance.ConnectError, ms),
				"times out": fails(balance.Timeout, time.Second),
			} {
				t.Run(fmt.Sprintf("%s/%s/%d endpoints/%d per second", policy, name, c.endpoints, c.rate), func(t *testing.T) {
					inBubble(t, balance.Policy{Name: policy}, c.endpoints, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
						well := exponential(20 * ms)
						openLoop(t, b, c.rate, 2*time.Second, well)
						turned := well.except(all[0], sick)
						openLoop(t, b, c.rate, time.Second, turned)
						if share := openLoop(t, b, c.rate, c.measured, turned).share(all[0]); share > 0.02 {
							t.Errorf("%.2f %% of the calls after 1 s, want 2 %% at most", 100*share)
						}
					})
				})
			}
		}
	}
}
