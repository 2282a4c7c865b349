package balance_test

import (
	"sync"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// inParts returns a policy and 60 instances for which splits, zones and subsets
// all matter.
func inParts() (balance.Policy, []discovery.Instance) {
	list := instances(60)
	for i := range list {
		list[i].Version, list[i].Zone = []string{"v1", "v2"}[i%2], []string{"a", "b", "c"}[i/2%3]
	}
	return balance.Policy{
		Splits: []balance.Split{{To: []balance.Share{to("v2", 30)}, By: []balance.Source{{Header: "User"}}}},
		Subset: balance.Subset{MinEndpoints: 20, Size: 15},
	}, list
}

// Lists, policies and peers change, and picks are explained, while calls go on.
func TestPartsConcurrently(t *testing.T) {
	p, list := inParts()
	b := newBalancer(t, p, 0, balance.WithCaller(balance.Caller{Service: "web", ID: "web-1", Zone: "a"}))
	b.Update(list)
	var wg, changes sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				c := balance.Call{Request: asked{"User": string(rune('a' + i%26))}}
				if i%10 == 0 {
					c.Explain = &balance.Explanation{}
				}
				e, err := b.PickFor(&c)
				if err != nil {
					t.Error(err)
					return
				}
				end(e, i+w)
			}
		})
	}
	for w := range 3 {
		changes.Go(func() {
			for i := range 100 {
				switch w {
				case 0:
					b.Update(list[i%5:])
				case 1:
					b.SetPeers(balance.Peers{Zones: map[string]int{"a": i % 4, "b": 1}})
					_ = b.WantsPeers()
				default:
					q := p
					q.Name = policies[i%len(policies)]
					if err := b.SetPolicy(q); err != nil {
						t.Error(err)
					}
					_ = b.Explain(balance.Call{})
				}
			}
		})
	}
	changes.Wait()
	close(done)
	wg.Wait()
}

// Splits, zones and keys cost no memory.
func TestPicksInPartsAllocateNothing(t *testing.T) {
	p, list := inParts()
	b := newBalancer(t, p, 0, balance.WithCaller(balance.Caller{Zone: "a"}))
	b.SetPeers(balance.Peers{Zones: map[string]int{"a": 9, "b": 1}})
	b.Update(list)
	var me balance.Request = asked{"User": "me"}
	tried := b.Endpoints()[:2]
	if n := testing.AllocsPerRun(1000, func() {
		for _, c := range []balance.Call{{}, {Request: me}, {Request: me, Tried: tried}} {
			e, err := b.PickFor(&c)
			if err != nil {
				t.Fatal(err)
			}
			e.Done(success)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
