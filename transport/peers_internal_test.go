package transport

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport/balance"
)

// A caller whose part of a service changes with its place among its peers keeps
// no connections to the part that it had.
func TestConnectionsFollowThePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		lists := map[string][]discovery.Instance{"web": nil, "cart": nil}
		for i := range 7 {
			lists["web"] = append(lists["web"], discovery.Instance{ID: fmt.Sprintf("web-%d", i), Addr: "w:1"})
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		defer srv.Close()
		for i := range 60 {
			addr := fmt.Sprintf("s%02d:1", i)
			l, err := network.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = srv.Serve(l) }()
			lists["cart"] = append(lists["cart"], discovery.Instance{ID: addr, Addr: addr})
		}
		registry, err := static.New(lists)
		if err != nil {
			t.Fatal(err)
		}
		defer registry.Close()
		c, err := NewClient(registry, WithDialer(network.Dial), WithCaller(balance.Caller{Service: "web", ID: "web-3"}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 300 {
			resp, err := c.HTTPClient().Get("http://cart/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		s := (*c.services.Load())[serviceKey{host: "cart"}]
		before := s.balancer.Endpoints()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		used := map[*balance.Endpoint]bool{}
		for _, e := range s.balancer.Endpoints() {
			used[e] = true
		}
		moved := 0
		for _, e := range before {
			if used[e] {
				continue
			}
			moved++
			if _, ok := s.conns.conns.Load(e); ok {
				t.Errorf("there are connections to %s, which is used no longer", e.ID())
			}
		}
		if moved == 0 {
			t.Error("the part has not changed")
		}
	})
}
