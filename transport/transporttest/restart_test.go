package transporttest_test

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// A host that calls goes on calling when it is up again.
func TestCallerComesBack(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 2, hello)
		n.Host("web")
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "web", At: 2 * time.Second, For: 2 * time.Second})
		r := n.Run(load.Load{Client: "web", Service: "hello", Kind: load.Constant, Rate: 10, For: 6 * time.Second})
		for from, want := range map[time.Duration]float64{0: 1, 2 * time.Second: 0, 4 * time.Second: 1} {
			part := r.Between(from+100*time.Millisecond, from+2*time.Second)
			if part.Calls == 0 || part.Success != want {
				t.Errorf("from %v on: %d calls, success %v, want %v", from, part.Calls, part.Success, want)
			}
		}
	})
}
