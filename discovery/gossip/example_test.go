package gossip_test

import (
	"context"
	"fmt"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/gossip"
)

// Two nodes, which could be two processes, find each other on this machine.
func ExampleOpen() {
	ctx := context.Background()
	url := "gossip://?label=example" // the label keeps this example to itself
	shop, err := gossip.Open(ctx, url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shop.Close()
	till, err := gossip.Open(ctx, url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer till.Close()

	pricing := discovery.Instance{ID: "pricing-1", Service: "pricing", Addr: "127.0.0.1:9001", Zone: "a"}
	registration, err := shop.Register(ctx, pricing, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for list := range till.Watch(ctx, "pricing") {
		if len(list) == 1 {
			fmt.Println(list[0].ID, list[0].Addr, list[0].Zone)
			break
		}
	}
	fmt.Println(registration.Deregister(ctx))
	// Output:
	// pricing-1 127.0.0.1:9001 a
	// <nil>
}

// A node on a network joins through seeds and speaks encrypted.
func ExampleNew() {
	node, err := gossip.New(gossip.Config{
		Seeds: []string{"127.0.0.1:17946"}, // tried until it answers
		Bind:  "127.0.0.1:0",
		Label: "example",
		Key:   []byte("0123456789abcdef"), // from a secret store
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	fmt.Println(node.Members())
	// Output:
	// 1
}
