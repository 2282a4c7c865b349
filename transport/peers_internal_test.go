package transport

import (
	"fmt"
	"net/http"
	"slices"
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
		lists := map[string][]discovery.Instance{}
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

// What is known of the peers holds from the beginning for a service that is
// called later.
func TestPeersAreKnownToNewServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := map[string][]discovery.Instance{"web": {{ID: "web-1", Addr: "w:1", Zone: "a"}, {ID: "web-2", Addr: "w:2", Zone: "b"}}}
		for i := range 60 {
			addr := fmt.Sprintf("s%02d:1", i)
			lists["cart"] = append(lists["cart"], discovery.Instance{ID: addr, Addr: addr})
			lists["stock"] = append(lists["stock"], discovery.Instance{ID: addr, Addr: addr})
		}
		registry, err := static.New(lists)
		if err != nil {
			t.Fatal(err)
		}
		defer registry.Close()
		c, err := NewClient(registry, WithCaller(balance.Caller{Service: "web", ID: "web-1"}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		part := func(host string) (ids []string) {
			s, err := c.addService(serviceKey{host: host})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, e := range s.balancer.Endpoints() {
				ids = append(ids, e.ID())
			}
			return ids
		}
		first := part("cart")
		time.Sleep(31 * time.Second)
		inPlace := part("cart")
		if later := part("stock"); slices.Equal(first, inPlace) || !slices.Equal(later, inPlace) {
			t.Errorf("the part of a new service is\n%v, want\n%v", later, inPlace)
		}
	})
}
