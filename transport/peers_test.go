package transport_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/balance/subset"
)

// peersIn registers instances of web, n in each zone.
func (f *fleet) peersIn(zones map[string]int) {
	f.t.Helper()
	var list []discovery.Instance
	for zone, n := range zones {
		for i := range n {
			id := fmt.Sprintf("web-%s-%d", zone, i)
			list = append(list, discovery.Instance{ID: id, Service: "web", Addr: "10.0.0.1:80", Zone: zone})
		}
	}
	if err := f.static.Set("web", list); err != nil {
		f.t.Fatal(err)
	}
}

// TestCallsStayInTheZone has two of six endpoints in the caller's zone. As long
// as the caller's service has no more than a third of its instances there, all
// calls stay; if half of it is there, a third of the calls have to leave.
func TestCallsStayInTheZone(t *testing.T) {
	for name, c := range map[string]struct {
		peers       map[string]int
		least, most float64
	}{
		"enough":         {map[string]int{"a": 1, "b": 5}, 1, 1},
		"too little":     {map[string]int{"a": 3, "b": 3}, 0.62, 0.72},
		"nobody is here": {map[string]int{"b": 2}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				var list []discovery.Instance
				for i := range 6 {
					addr, zone := fmt.Sprintf("s%d:1", i), "b"
					if i < 2 {
						zone = "a"
					}
					f.listen(addr, func(http.ResponseWriter, *http.Request) {})
					list = append(list, discovery.Instance{ID: addr, Service: "cart", Addr: addr, Zone: zone})
				}
				f.peersIn(c.peers)
				if err := f.static.Set("cart", list); err != nil {
					t.Fatal(err)
				}
				client := f.client(transport.WithCaller(balance.Caller{Service: "web", ID: "web-a-0", Zone: "a"}))
				calls := func(n int) {
					for range n {
						if _, _, err := get(t.Context(), client, "http://cart/"); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Millisecond)
					}
				}
				calls(1) // the first finds out that peers matter
				synctest.Wait()
				before := f.hit("s0:1") + f.hit("s1:1")
				calls(2000)
				if got := float64(f.hit("s0:1")+f.hit("s1:1")-before) / 2000; got < c.least || got > c.most {
					t.Errorf("%v of the calls stay, want %v to %v", got, c.least, c.most)
				}
			})
		})
	}
}

// A caller's part of a large service follows from its place among its peers,
// once that has lasted.
func TestPartOfALargeService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var list []discovery.Instance
		var keys, ids []string
		for i := range 60 {
			addr := fmt.Sprintf("s%02d:1", i)
			list = append(list, discovery.Instance{ID: addr, Service: "cart", Addr: addr})
			keys = append(keys, addr)
		}
		f.listen("s00:1", func(http.ResponseWriter, *http.Request) {})
		f.peersIn(map[string]int{"": 7})
		for i := range 7 {
			ids = append(ids, fmt.Sprintf("web--%d", i))
		}
		if err := f.static.Set("cart", list); err != nil {
			t.Fatal(err)
		}
		client := f.client(transport.WithCaller(balance.Caller{Service: "web", ID: "web--3"}))
		used := func() (addrs []string) {
			for _, s := range client.Services() {
				for _, e := range s.Balancer.Endpoints() {
					addrs = append(addrs, e.Addr())
				}
			}
			return addrs
		}
		chosen := func(c subset.Client) (addrs []string) {
			for _, i := range subset.Choose(keys, balance.DefaultSubsetSize, c) {
				addrs = append(addrs, keys[i])
			}
			return addrs
		}
		_, _, _ = get(t.Context(), client, "http://cart/") // most of them do not exist
		synctest.Wait()
		if got, want := fmt.Sprint(used()), fmt.Sprint(chosen(subset.Client{Group: "web", ID: "web--3"})); got != want {
			t.Errorf("at first it uses\n%s, want\n%s", got, want)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got, want := fmt.Sprint(used()), fmt.Sprint(chosen(subset.Among("web", "web--3", ids))); got != want {
			t.Errorf("in its place it uses\n%s, want\n%s", got, want)
		}
	})
}
