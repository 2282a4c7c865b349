package balance_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// A new endpoint looks idle and nothing is known of it: it must neither draw
// the herd nor starve.
func TestShareOfNewEndpoint(t *testing.T) {
	for name, s := range map[string]service{
		"no time": alike(0), "alike": alike(20 * ms), "busy": alike(500 * ms), "exponential": exponential(20 * ms),
	} {
		for _, rate := range []int{20, 100, 500} {
			t.Run(fmt.Sprintf("%s/%d", name, rate), func(t *testing.T) {
				inBubble(t, balance.Policy{}, 9, func(t *testing.T, b *balance.Balancer, _ []*balance.Endpoint) {
					openLoop(t, b, rate, 10*time.Second, s)
					b.Update(instances(10))
					added := b.Endpoints()[9]
					if share := 10 * openLoop(t, b, rate, 10*time.Second, s).share(added); !(share > 0 && share <= 1.5) {
						t.Errorf("%.2f of a fair share in the first 10 s, want 1.5 at most and not nothing", share)
					}
					openLoop(t, b, rate, 20*time.Second, s)
					if share := 10 * openLoop(t, b, rate, 20*time.Second, s).share(added); share < 0.7 || share > 1.3 {
						t.Errorf("%.2f of a fair share after the slow start", share)
					}
				})
			})
		}
	}
}

// Half of the set comes back at once. In no second do they get more, but for
// chance, than the part that their slow start has reached by then of what the
// other half gets.
func TestManyReturnAtOnce(t *testing.T) {
	const rate = 400
	for _, policy := range policies {
		for name, s := range map[string]service{"busy": alike(500 * ms), "exponential": exponential(50 * ms)} {
			t.Run(policy+"/"+name, func(t *testing.T) {
				p := balance.Policy{Name: policy, Ejection: balance.Ejection{MaxPercent: 100}}
				inBubble(t, p, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
					back := all[:5]
					failTogether(t, b, back)
					wantStats(t, b, balance.Stats{Available: 5, Ejected: 5})
					for b.Stats().Ejected > 0 {
						openLoop(t, b, rate, 100*ms, s)
					}
					sum := 0.0
					for second := 1; second <= 30; second++ {
						got := rate * openLoop(t, b, rate, time.Second, s).share(back...)
						most := max(0.1, float64(second)/30) * (rate - got)
						if got > most+5*math.Sqrt(most) {
							t.Errorf("second %d: %.0f calls to those that came back, want %.0f at most", second, got, most)
						}
						sum += got
					}
					if fair := 30.0 * rate / 2; sum < fair/3 {
						t.Errorf("%.2f of a fair share in 30 s, want about a half", sum/fair)
					}
				})
			})
		}
	}
}
