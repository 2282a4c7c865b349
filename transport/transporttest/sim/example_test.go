package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// One of five servers dies for ten seconds.
func Example() {
	result, err := sim.Run(context.Background(), sim.Config{
		Seed:    1,
		For:     time.Minute,
		Clients: []sim.Clients{{Name: "web", Count: 10}},
		Servers: []sim.Servers{{Service: "pricing", Count: 5, Kind: sim.Queue, Time: dist.Exponential(10 * time.Millisecond)}},
		Load:    []load.Load{{Client: "web", Service: "pricing", Rate: 100}},
		Changes: []sim.Change{
			{Kind: sim.Down, Service: "pricing", Count: 1, At: 20 * time.Second, For: 10 * time.Second},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	outage := result.Between(20*time.Second, 30*time.Second)
	fmt.Printf("success %.1f %%, in the outage %.1f %% with %.2f attempts per call\n",
		100*result.Success, 100*outage.Success, outage.AttemptsPerCall)
	// Output: success 100.0 %, in the outage 100.0 % with 1.04 attempts per call
}
