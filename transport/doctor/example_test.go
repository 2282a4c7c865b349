package doctor_test

import (
	"fmt"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/doctor"
)

// A test of a fleet's settings fails on whatever is more than a remark.
func ExampleCheck() {
	fleet := doctor.Fleet{Services: []doctor.Service{
		{Name: "storefront", Policies: transport.Policies{Services: map[string]transport.Policy{
			"pricing": {Timeout: 4 * time.Second},
		}}},
		{Name: "pricing", ShutdownTimeout: 40 * time.Second},
	}}
	for _, f := range doctor.Check(fleet) {
		if f.Severity > doctor.Info {
			fmt.Println(f)
		}
	}
	// Output:
	// error: pricing: drain_over_grace: ends within 45s (up to 3s for leaving the registry, 2s of drain delay, 40s for what is in flight), but is killed after 30s; shorten them, or raise terminationGracePeriodSeconds
}
