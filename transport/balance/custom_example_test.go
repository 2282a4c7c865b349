package balance_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// inOrder is a policy for a primary and its standbys: the first endpoint that
// can be used gets all calls.
type inOrder struct{}

func (inOrder) Pick(c balance.Candidates) int {
	for i := range c.Len() {
		if c.Usable(i) {
			return i
		}
	}
	return -1
}

func ExampleWithPicker() {
	b, err := balance.New(balance.Policy{Name: "in-order"},
		balance.WithPicker("in-order", func(rand.Source) balance.Picker { return inOrder{} }))
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{{ID: "primary", Addr: "10.0.0.1:80"}, {ID: "standby", Addr: "10.0.0.2:80"}})
	first, _ := b.Pick(nil)
	first.Done(balance.Result{Outcome: balance.Failure})
	second, _ := b.Pick([]*balance.Endpoint{first})
	second.Done(balance.Result{})
	fmt.Println(first.ID(), second.ID())
	// Output:
	// primary standby
}

func ExampleHash() {
	b, err := balance.New(balance.Policy{Name: balance.RingHash, Hash: balance.Hash{
		By: []balance.Source{{Header: "X-User"}, {Cookie: "session"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{
		{ID: "cart-1", Addr: "10.0.0.1:80"}, {ID: "cart-2", Addr: "10.0.0.2:80"}, {ID: "cart-3", Addr: "10.0.0.3:80"},
	})
	seen := map[string]bool{}
	for range 100 {
		e, _ := b.PickFor(&balance.Call{Key: "customer-42"}) // what the program knows goes before By
		e.Done(balance.Result{})
		seen[e.ID()] = true
	}
	fmt.Println(len(seen))
	// Output:
	// 1
}
