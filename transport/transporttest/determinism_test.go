package transporttest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// relay is a service that asks others, all at once.
func relay(to ...string) func(*transporttest.Process) http.Handler {
	return func(p *transporttest.Process) http.Handler {
		c := p.Client()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			results := make(chan error, len(to))
			for _, name := range to {
				go func() {
					req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+name+"/", nil)
					if err != nil {
						results <- err
						return
					}
					resp, err := c.Do(req)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					results <- err
				}()
			}
			status := http.StatusOK
			for range to {
				if err := <-results; err != nil {
					status = http.StatusBadGateway
				}
			}
			w.WriteHeader(status)
		})
	}
}

// shop is a storefront that asks three neighbours at once, one of which asks
// another.
func shop(n *transporttest.Network) {
	n.Serve("catalog", 2, hello)
	n.Serve("pricing", 3, hello)
	n.Serve("inventory", 2, hello, transporttest.WithHTTP2(true))
	n.Serve("cart", 2, relay("pricing"))
	n.Serve("storefront", 2, relay("catalog", "cart", "inventory"))
}

var mixedFaults = []transporttest.Fault{
	{Kind: transporttest.Crash, On: "pricing-2", At: 2 * time.Second, For: 3 * time.Second},
	{Kind: transporttest.Latency, From: "cart", To: "pricing-1", At: 3 * time.Second, For: 4 * time.Second, Latency: dist.Exponential(200 * time.Millisecond)},
	{Kind: transporttest.Stall, From: "storefront", To: "catalog", At: 4 * time.Second, For: 4 * time.Second, Probability: 0.05},
	{Kind: transporttest.Reset, From: "storefront", To: "cart", At: 5 * time.Second, For: 4 * time.Second, Probability: 0.1},
	{Kind: transporttest.Partition, From: "storefront-1", To: "inventory", At: 6 * time.Second, For: 2 * time.Second},
	{Kind: transporttest.Pause, On: "catalog-1", At: 7 * time.Second, For: 1 * time.Second},
	{Kind: transporttest.CPU, On: "inventory", At: 7 * time.Second, For: 3 * time.Second, Cores: 0.5, Work: dist.Exponential(5 * time.Millisecond)},
	{Kind: transporttest.Status, On: "pricing-3", At: 8 * time.Second, For: 2 * time.Second, Status: 503, Probability: 0.3},
	{Kind: transporttest.Panic, On: "cart-2", At: 9 * time.Second, For: 2 * time.Second, Probability: 0.2},
	{Kind: transporttest.RegistryHalf, On: "*", At: 10 * time.Second, For: 2 * time.Second},
	{Kind: transporttest.RegistryOutage, On: "*", At: 11 * time.Second, For: 3 * time.Second},
	{Kind: transporttest.Restart, On: "storefront-2", At: 11 * time.Second, For: 3 * time.Second},
	{Kind: transporttest.Queue, On: "catalog", At: 12 * time.Second, For: 2 * time.Second, Workers: 1, Backlog: 3},
	{Kind: transporttest.BlackHole, From: "cart", To: "pricing-1", OneWay: true, At: 13 * time.Second, For: 1 * time.Second},
}

func trace(t *testing.T, seed uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		shop(n)
		n.Fault(mixedFaults...)
		r := n.Run(
			load.Load{Client: "web", Service: "storefront", Rate: 20, For: 15 * time.Second, Timeout: 3 * time.Second},
			load.Load{Client: "web", Service: "storefront", Method: "POST", Path: "/x", Body: "x", Rate: 10, For: 15 * time.Second},
			load.Load{Client: "batch", Service: "cart", Kind: load.Closed, Workers: 2, Think: dist.Exponential(50 * time.Millisecond), For: 15 * time.Second},
		)
		if err := r.Trace(&b); err != nil {
			t.Fatal(err)
		}
	}, transporttest.WithSeed(seed), transporttest.WithTrace(true))
	return b.Bytes()
}

// TestSameSeedSameBytes runs everything at once, again and again, on one and
// two processors.
func TestSameSeedSameBytes(t *testing.T) {
	runs := 100
	if testing.Short() {
		runs = 2
	}
	want := trace(t, 1)
	for i := range runs {
		before := runtime.GOMAXPROCS(1 + i%2)
		got := trace(t, 1)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(got, want) {
			t.Fatalf("run %d differs: %s", i, firstDifference(got, want))
		}
	}
	if bytes.Equal(trace(t, 2), want) {
		t.Error("another seed gives the same trace")
	}
}

func firstDifference(got, want []byte) string {
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}
