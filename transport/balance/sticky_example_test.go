package balance_test

import (
	"fmt"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// A session stays where it was, by the name that the response gave.
func ExampleSticky() {
	b, err := balance.New(balance.Policy{Sticky: balance.Sticky{Header: "Session"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{
		{ID: "cart-1", Addr: "10.0.0.1:80"}, {ID: "cart-2", Addr: "10.0.0.2:80"}, {ID: "cart-3", Addr: "10.0.0.3:80"},
	})
	session := ""
	for range 3 {
		e, err := b.PickFor(&balance.Call{Request: header{"Session": session}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("stays:", e.Name() == session)
		session = e.Name()
		e.Done(balance.Result{})
	}
	// Output:
	// stays: false
	// stays: true
	// stays: true
}
