package transporttest_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

func hello(p *transporttest.Process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello from ", p.Host().Name())
	})
}

// get calls url and returns the status and body.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServe(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 3, hello)
		web := n.Host("web").Process()
		if status, body := get(t, web.PlainClient(), "http://hello-2/"); status != http.StatusOK || body != "hello from hello-2" {
			t.Errorf("plain client: %d %q", status, body)
		}
		seen := map[string]bool{}
		c := web.Client()
		for range 50 {
			_, body := get(t, c, "http://hello/")
			seen[body] = true
		}
		if len(seen) != 3 {
			t.Errorf("50 calls of the service reached %v, want 3 replicas", seen)
		}
	})
}

// A crash of one replica of three is seen by nobody who calls a service that
// calls that one.
func TestCrashIsCovered(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("pricing", 3, hello)
		n.Serve("cart", 2, relay("pricing"))
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "pricing-2", At: 2 * time.Second, For: 5 * time.Second})
		r := n.Run(load.Load{Client: "web", Service: "cart", Rate: 100, For: 10 * time.Second})
		if got, want := r.Success, 1.0; got != want {
			t.Errorf("success %v, want %v", got, want)
		}
	})
}
