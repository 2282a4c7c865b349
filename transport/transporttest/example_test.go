package transporttest_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// newCart is a service that shows a cart with its total, or without it when
// pricing cannot say.
func newCart(p *transporttest.Process) http.Handler {
	pricing := p.Client()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		total := "total unknown for now"
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://pricing/", nil)
		if err == nil {
			if resp, err := pricing.Do(req); err == nil {
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				total = string(b)
			}
		}
		fmt.Fprint(w, "1 teapot, ", total)
	})
}

func newPricing(*transporttest.Process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "25 EUR") })
}

// A cart service goes on when its neighbour dies. In a test, [transporttest.Test]
// takes the place of bubble.Run and New.
func Example() {
	err := bubble.Run("cart", func(tb testing.TB) {
		n := transporttest.New(tb)
		n.Serve("pricing", 3, newPricing)
		n.Serve("cart", 2, newCart)
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "pricing", At: 10 * time.Second, For: 20 * time.Second})
		r := n.Run(load.Load{Client: "web", Service: "cart", Rate: 20, For: time.Minute})
		fmt.Printf("answered: %.0f %%\n", 100*r.Success)
		fmt.Printf("the slowest of them within a second: %v\n", r.Quantile(1) < time.Second)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// answered: 100 %
	// the slowest of them within a second: true
}

// A replica that fails is found out by its first failures.
func ExampleNetwork_Run() {
	_ = bubble.Run("timeline", func(tb testing.TB) {
		n := transporttest.New(tb)
		n.Serve("pricing", 2, newPricing)
		n.Fault(transporttest.Fault{Kind: transporttest.Status, Status: http.StatusInternalServerError, On: "pricing-1", At: 2 * time.Second, For: 2 * time.Second})
		r := n.Run(load.Load{Client: "web", Service: "pricing", Kind: load.Constant, Rate: 10, For: 5 * time.Second})
		for _, s := range r.PerSecond {
			fmt.Printf("%v: %d of %d failed\n", s.At, s.Failed, s.Offered)
		}
	})
	// Output:
	// 0s: 0 of 10 failed
	// 1s: 0 of 10 failed
	// 2s: 1 of 10 failed
	// 3s: 0 of 10 failed
	// 4s: 0 of 10 failed
}
