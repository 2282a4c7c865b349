package dist_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

func ExampleDist_At() {
	d := dist.Lognormal(20*time.Millisecond, 8*time.Millisecond)
	for _, u := range []float64{0.5, 0.9, 0.99} { // drawn by a generator or from a hash
		fmt.Println(u, d.At(u).Round(100*time.Microsecond))
	}
	// Output:
	// 0.5 18.6ms
	// 0.9 30.4ms
	// 0.99 45.5ms
}

func ExampleDist_UnmarshalJSON() {
	var latency struct{ Link, Disk dist.Dist }
	err := json.Unmarshal([]byte(`{"link": "2ms", "disk": {"kind": "pareto", "min": "1ms", "alpha": 1.5, "max": "1s"}}`), &latency)
	fmt.Println(latency.Link, latency.Disk, err)
	// Output: 2ms pareto(min 1ms, max 1s, alpha 1.5) <nil>
}

func ExampleReadQuantiles() {
	d, err := dist.ReadQuantiles(strings.NewReader("q,d\n0,2ms\n0.5,4ms\n0.99,80ms\n1,250ms\n"))
	fmt.Println(d.At(0.25), d.At(0.99), err)
	// Output: 3ms 80ms <nil>
}
