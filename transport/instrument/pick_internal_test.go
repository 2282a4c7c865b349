package instrument

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

func TestPickAttributes(t *testing.T) {
	fast := balance.Candidate{Instance: discovery.Instance{ID: "a"}, InFlight: 2, Latency: 1500 * time.Microsecond, Reported: 7, SlowStart: 1, Cost: 4.5e6}
	slow := balance.Candidate{
		Instance: discovery.Instance{ID: "b"}, Stalled: time.Second, Failing: 0.25, Reported: -1, SlowStart: 0.1, Cost: 1e9,
	}
	for name, c := range map[string]struct {
		x    balance.Explanation
		want string
	}{
		"full": {
			balance.Explanation{
				Policy: "p2c-peak-ewma", Part: "split 1 share 2", Zone: "z", Panic: true, Reason: balance.ByPolicy,
				Chosen: fast, Compared: []balance.Candidate{fast, slow},
				Excluded: map[balance.Exclusion]int{balance.ExcludedTried: 1, balance.ExcludedEjected: 3},
			},
			"[gabion.pick.policy=p2c-peak-ewma gabion.pick.reason=policy gabion.pick.part=split 1 share 2 gabion.pick.zone=z gabion.pick.panic=true " +
				`gabion.pick.compared=["a cost=4.5e+06 in_flight=2 latency=1.5ms reported=7","b cost=1e+09 in_flight=0 stalled=1s failing=0.25 slow_start=0.1"] ` +
				`gabion.pick.excluded=["ejected=3","tried=1"]]`,
		},
		"bare": {
			balance.Explanation{Policy: "random", Reason: balance.BySearch},
			"[gabion.pick.policy=random gabion.pick.reason=search]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, kv := range pick(&c.x) {
				got = append(got, string(kv.Key)+"="+kv.Value.String())
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("got\n%v, want\n%s", got, c.want)
			}
		})
	}
}
