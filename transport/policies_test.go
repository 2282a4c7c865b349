package transport_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
)

// last is a policy that always takes the last endpoint.
type last struct{}

func (last) Pick(c balance.Candidates) int { return c.Len() - 1 }

// A policy of one's own can be named by whichever policy the client is given.
func TestWithPicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			f.start("cart", addr, func(http.ResponseWriter, *http.Request) {})
		}
		byLast := transport.Policy{Balance: balance.Policy{Name: "last"}}
		policy := transport.WithPolicy(byLast)
		c := f.client(policy, transport.WithServicePolicy("cart", byLast), transport.WithPicker("last", func(rand.Source) balance.Picker { return last{} }))
		for range 20 {
			if _, _, err := get(t.Context(), c, "http://cart/"); err != nil {
				t.Fatal(err)
			}
		}
		if n := f.hit("c:1"); n != 20 {
			t.Errorf("%d of 20 calls went to the last endpoint", n)
		}
		_, err := transport.NewClient(f.static, policy)
		if err == nil || !strings.Contains(err.Error(), `"last"`) {
			t.Errorf("a policy that nobody knows: %v", err)
		}
	})
}

// Prequal asks servers for their load when calls come too seldom to bring it.
func TestPrequalAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		for _, addr := range []string{"a:1", "b:1", "c:1", "d:1"} {
			f.start("cart", addr, func(http.ResponseWriter, *http.Request) {})
		}
		c := f.client(transport.WithPolicy(transport.Policy{Balance: balance.Policy{Name: balance.Prequal}}))
		for range 10 {
			if _, _, err := get(t.Context(), c, "http://cart/"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		_, _, _ = get(t.Context(), c, "http://cart/")
		synctest.Wait()
		fresh := 0
		for _, e := range c.Services()[0].Balancer.Endpoints() {
			if _, ago, ok := e.Reported(); ok && ago < time.Second {
				fresh++
			}
		}
		if fresh < 2 {
			t.Errorf("%d of 4 endpoints reported just now, want the one that answered and those that were asked", fresh)
		}
		if n := f.total(); n != 11 {
			t.Errorf("the handlers saw %d requests, want 11", n)
		}
	})
}

// A report counts the request that it comes with, unless that was refused.
func TestReportCountsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		free := make(chan struct{})
		f.start("cart", "a:1", func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-free
			}
		}, transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Initial: 2, Max: 2}}))
		c := f.client(transport.WithPolicy(transport.Policy{Timeout: 10 * time.Second, AttemptTimeout: 10 * time.Second}))
		reported := func(path string, want int) {
			t.Helper()
			_, _, _ = get(t.Context(), c, "http://cart"+path)
			rif, _, ok := c.Services()[0].Balancer.Endpoints()[0].Reported()
			if !ok || rif != want {
				t.Errorf("%s: reported %d, %t; want %d", path, rif, ok, want)
			}
		}
		reported("/", 0)
		go func() { _, _, _ = get(t.Context(), c, "http://cart/wait") }()
		synctest.Wait()
		reported("/", 1)
		go func() { _, _, _ = get(t.Context(), c, "http://cart/wait") }()
		synctest.Wait()
		reported("/", 2) // shed
		close(free)
	})
}
