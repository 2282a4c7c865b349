package transporttest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// busy answers after a moment, and reports its work.
func busy(p *transporttest.Process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Work(r.Context(), 3*time.Millisecond) == nil {
			fmt.Fprint(w, "done")
		}
	})
}

// certain are all kinds but RegistryOutage, after which calls may wait together
// for a first answer: see the package comment.
var certain = []transporttest.Kind{
	transporttest.Latency, transporttest.Stall, transporttest.Reset, transporttest.Partition, transporttest.BlackHole,
	transporttest.Refuse, transporttest.Drip, transporttest.Crash, transporttest.Restart, transporttest.Pause,
	transporttest.CPU, transporttest.ClockJump, transporttest.Slow, transporttest.Status, transporttest.Panic,
	transporttest.Cut, transporttest.Queue, transporttest.RegistryEmpty, transporttest.RegistryStale,
	transporttest.RegistryDuplicate, transporttest.RegistryHalf,
}

// chaos runs three services with 20 faults of all kinds and returns the trace.
func chaos(t *testing.T, seed uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("leaf", 3, busy)
		n.Serve("stock", 2, busy, transporttest.WithHTTP2(true), transporttest.WithPlainServer(true))
		n.Serve("front", 2, relay("leaf", "stock"))
		n.Host("web")
		n.Host("batch")
		names := []string{"leaf", "leaf-1", "leaf-2", "stock", "stock-2", "front-1"}
		n.Fault(transporttest.RandomFaults(seed, 20, transporttest.FaultSpace{
			On:       append(names, "*"),
			Links:    [][2]string{{"front", "leaf"}, {"front", "stock"}, {"web", "front"}, {"*", "leaf-1"}, {"front-1", "*"}},
			Registry: []string{"leaf", "front", "*"},
			Kinds:    certain,
			Until:    9 * time.Second,
		})...)
		r := n.Run(
			load.Load{Client: "web", Service: "front", Rate: 30, For: 10 * time.Second, Timeout: 2 * time.Second},
			load.Load{Client: "web", Service: "front", Method: "POST", Body: "x", Kind: load.Constant, Rate: 10, For: 10 * time.Second},
			load.Load{Client: "batch", Service: "stock", Kind: load.Closed, Workers: 3, Think: dist.Exponential(100 * time.Millisecond), For: 10 * time.Second},
		)
		if err := r.Trace(&b); err != nil {
			t.Fatal(err)
		}
	}, transporttest.WithSeed(seed), transporttest.WithTrace(true))
	return b.Bytes()
}

// TestChaosIsDeterministic runs all kinds of faults at random, each seed on one
// processor and on two.
func TestChaosIsDeterministic(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 3
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		runtime.GOMAXPROCS(1)
		want := chaos(t, seed)
		runtime.GOMAXPROCS(2)
		if got := chaos(t, seed); !bytes.Equal(got, want) {
			t.Errorf("seed %d, two processors: %s", seed, firstDifference(got, want))
		}
	}
}
