package load_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/load"
)

func ExampleLoad_Arrivals() {
	l := load.Load{Client: "cron", Service: "cart", Kind: load.Burst, Burst: 2, Every: time.Second}
	for at := range l.Arrivals(7, 2*time.Second) {
		fmt.Println(at)
	}
	// Output:
	// 0s
	// 1ns
	// 1s
	// 1.000000001s
}

func ExampleLoad_UnmarshalJSON() {
	var l load.Load
	err := json.Unmarshal([]byte(`{"client": "web", "service": "cart", "kind": "ramp", "rate": 10, "to": 50, "for": "1m"}`), &l)
	fmt.Println(l.Kind, l.Rate, l.To, l.For, err, l.Validate())
	// Output: ramp 10 50 1m0s <nil> <nil>
}
