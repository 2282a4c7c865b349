package balance_test

import (
	"fmt"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

func Example() {
	b, err := balance.New(balance.Policy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = b.Pick(nil)
	fmt.Println(err)

	b.Update([]discovery.Instance{
		{ID: "pricing-1", Service: "pricing", Addr: "10.0.0.1:9001"},
		{ID: "pricing-2", Service: "pricing", Addr: "10.0.0.2:9001"},
	})
	first, _ := b.Pick(nil)
	first.Done(balance.Result{Outcome: balance.Failure})
	second, _ := b.Pick([]*balance.Endpoint{first}) // a retry goes elsewhere
	second.Done(balance.Result{Outcome: balance.Success})
	fmt.Println(first.ID() != second.ID())
	// Output:
	// balance: no instances
	// true
}

func ExampleWithObserver() {
	b, err := balance.New(balance.Policy{}, balance.WithObserver(balance.Observer{
		Ejected: func(e *balance.Endpoint, why balance.Reason) { fmt.Println(e.ID(), e.State(), why) },
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{{ID: "a", Addr: "10.0.0.1:80"}, {ID: "b", Addr: "10.0.0.2:80", Weight: -1}})
	for range 2 { // nobody listens at a, and b takes no new calls
		e, _ := b.Pick(nil)
		e.Done(balance.Result{Outcome: balance.ConnectError})
	}
	fmt.Printf("%+v\n", b.Stats())
	// Output:
	// a unreachable cannot_connect
	// {Available:0 Ejected:0 Unreachable:1 Draining:1 Panic:true}
}
