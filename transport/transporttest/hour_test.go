package transporttest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// BenchmarkVirtualHour runs ten services of five replicas each for an hour, at
// 50 calls a second in all, with a fault every ten seconds.
func BenchmarkVirtualHour(b *testing.B) {
	for b.Loop() {
		if err := bubble.Run("hour", virtualHour); err != nil {
			b.Fatal(err)
		}
	}
}

func virtualHour(tb testing.TB) {
	n := transporttest.New(tb)
	var loads []load.Load
	var names []string
	var links [][2]string
	for i := range 10 {
		name := fmt.Sprint("service-", string(rune('a'+i)))
		n.Serve(name, 5, hello)
		names = append(names, name, name+"-1", name+"-2")
		links = append(links, [2]string{"web", name + "-3"}, [2]string{"web", name + "-4"})
		loads = append(loads, load.Load{Client: "web", Service: name, Rate: 5, For: time.Hour, Timeout: 3 * time.Second})
	}
	n.Host("web")
	n.Fault(transporttest.RandomFaults(1, 360, transporttest.FaultSpace{On: names, Links: links, Registry: []string{"*"}, Until: time.Hour})...)
	r := n.Run(loads...)
	if r.Calls < 170_000 || r.Success < 0.98 {
		tb.Errorf("%d calls, success %v", r.Calls, r.Success)
	}
}
