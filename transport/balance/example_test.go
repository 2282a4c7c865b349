package balance_test

import (
	"encoding/json"
	"fmt"
	"time"

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

// A canary gets a twentieth of the users, the same ones each time, and whoever
// asks for it.
func ExampleSplit() {
	var p balance.Policy
	err := json.Unmarshal([]byte(`{"splits": [
		{"when": {"header": "X-Canary"}, "to": [{"version": "v2", "percent": 100}]},
		{"to": [{"version": "v2", "percent": 5}], "by": [{"cookie": "session"}]}
	]}`), &p)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := balance.New(p)
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{
		{ID: "pricing-1", Addr: "10.0.0.1:9001", Version: "v1"},
		{ID: "pricing-2", Addr: "10.0.0.2:9001", Version: "v2"},
	})
	e, _ := b.PickFor(&balance.Call{Request: headers{"X-Canary": "please"}})
	fmt.Println(e.Instance().Version)
	e.Done(balance.Result{})
	// Output: v2
}

// headers is a request as far as a balancer may want to know it.
type headers map[string]string

func (h headers) Header(name string) string { return h[name] }
func (headers) Cookie(string) string        { return "" }
func (headers) Query(string) string         { return "" }

func ExampleBalancer_Explain() {
	b, err := balance.New(balance.Policy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Update([]discovery.Instance{
		{ID: "a", Addr: "10.0.0.1:80"}, {ID: "b", Addr: "10.0.0.2:80"}, {ID: "c", Addr: "10.0.0.3:80", Weight: -1},
	})
	for _, e := range b.Endpoints() {
		if e.ID() == "a" { // it asks to be left alone, once somebody calls it
			for got, _ := b.Pick(nil); ; got, _ = b.Pick(nil) {
				if got == e {
					got.Done(balance.Result{Outcome: balance.Overload, Rest: time.Second})
					break
				}
				defer got.Done(balance.Result{})
			}
		}
	}
	x := b.Explain(balance.Call{})
	fmt.Println(x.Policy, "chooses", x.Chosen.Instance.ID)
	for _, c := range x.Endpoints {
		fmt.Printf("%s is %v, excluded: %q\n", c.Instance.ID, c.State, c.Excluded)
	}
	// Output:
	// p2c-peak-ewma chooses b
	// a is available, excluded: "resting"
	// b is available, excluded: ""
	// c is draining, excluded: "draining"
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
