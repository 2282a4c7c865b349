package sockets_test

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sockets"
)

// What holds in the bubble is confirmed on two servers that are running.
func ExampleRun() {
	_ = func(t *testing.T) {
		s := transporttest.Scenario{
			Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 2}},
			Loads:    []load.Load{{Client: "web", Service: "pricing", Path: "/v1/quote", Rate: 50, For: 10 * time.Second}},
			Faults: []transporttest.Fault{
				{Kind: transporttest.Latency, From: "web", To: "pricing-1", At: 3 * time.Second, For: 4 * time.Second, Latency: dist.Constant(100 * time.Millisecond)},
			},
		}
		bubble := s.Run(t)
		outside := sockets.Run(t, s, map[string][]sockets.Target{
			"pricing": {{Addr: "127.0.0.1:9001"}, {Addr: "127.0.0.1:9002"}},
		})
		if bubble.Success < 0.99 || outside.Success < 0.99 {
			t.Errorf("success %v in the bubble, %v outside; want at least 0.99", bubble.Success, outside.Success)
		}
	}
}

// A server that calls another finds it behind the faults of their link.
func ExampleListen() {
	_ = func(t *testing.T) {
		n := transporttest.New(t) // in no bubble: in real time
		n.Launch("pricing", 1, sockets.Target{Addr: "127.0.0.1:9001"}.Program())
		addr, err := sockets.Listen(n.Host("cart").Process(), "pricing-1:80")
		if err != nil {
			t.Fatal(err)
		}
		n.Fault(transporttest.Fault{Kind: transporttest.Drip, Rate: 1000, From: "cart", To: "pricing"})
		t.Log("start cart with PRICING_ADDR =", addr)
	}
}
