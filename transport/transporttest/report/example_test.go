package report_test

import (
	"fmt"
	"os"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

func ExampleReport_Timeline() {
	rec := report.New(time.Now(), report.WithName("pricing dies"), report.WithSeed(7))
	for i := range 40 {
		at := time.Duration(i) * 100 * time.Millisecond
		down := at >= time.Second && at < 2*time.Second
		c := report.Call{Client: "cart", Service: "pricing", N: i, Start: at, End: at + 4*time.Millisecond, OK: !down, Attempts: 1}
		if down {
			c.Err, c.Attempts = report.ErrRefused, 2
		}
		rec.Call(c)
	}
	rec.Event(report.Event{At: time.Second, Kind: report.Fault, Subject: "pricing-1", Detail: "refused"})
	rec.Event(report.Event{At: 2 * time.Second, Kind: report.Heal, Subject: "pricing-1", Detail: "refused"})

	r := rec.Report(4 * time.Second)
	if err := r.Timeline(os.Stdout, 0); err != nil {
		fmt.Println(err)
	}
	// Output:
	// pricing dies: seed 7, 4s: 40 calls, 30 ok (75.00 %), 10 failed (refused 10)
	// latency p50 4ms, p90 4ms, p99 4ms, p99.9 4ms, p99.99 4ms
	// goodput 75.00 %, degraded 0, attempts per call 1.250, extra requests 25.00 %, late 0 (- of work)
	//     time  offered       ok   failed      p99  # ok, x failed            events
	//       0s       10       10        -      4ms  ########################
	//       1s       10        -       10      4ms  xxxxxxxxxxxxxxxxxxxxxxxx  1s fault pricing-1 (refused)
	//       2s       10       10        -      4ms  ########################  2s heal pricing-1 (refused)
	//       3s       10       10        -      4ms  ########################
}

func ExampleReport_Between() {
	rec := report.New(time.Now())
	for i := range 60 {
		at := time.Duration(i) * time.Second
		rec.Call(report.Call{Start: at, End: at + time.Millisecond, OK: i < 20 || i >= 25})
	}
	r := rec.Report(time.Minute)
	fmt.Println("before:", r.Between(0, 20*time.Second).Success)
	after, ok := r.RecoveredAfter(20*time.Second, 0.99)
	fmt.Println("recovered:", after, ok)
	// Output:
	// before: 1
	// recovered: 5s true
}
