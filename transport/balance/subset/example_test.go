package subset_test

import (
	"fmt"
	"time"

	"github.com/gabion-go/gabion/transport/balance/subset"
)

// Three clients share six backends, two each.
func ExampleChoose() {
	keys := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"}
	for i := range 3 {
		fmt.Println(subset.Choose(keys, 2, subset.Client{Group: "cart", Ordinal: i, Count: 3}))
	}
	// Output:
	// [1 3]
	// [2 5]
	// [0 4]
}

// A client that knows its name only.
func ExampleChoose_name() {
	keys := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"}
	before := subset.Choose(keys, 2, subset.Client{Group: "cart", ID: "cart-7"})
	after := subset.Choose(keys[:4], 2, subset.Client{Group: "cart", ID: "cart-7"})
	fmt.Println(before, after)
	// Output:
	// [2 4] [1 2]
}

// The place follows from the list of all clients, as a registry has it.
func ExampleAmong() {
	ids := []string{"cart-1", "cart-2", "cart-3", "cart-4"}
	for _, id := range ids {
		c := subset.Among("cart", id, ids)
		fmt.Println(id, "is", c.Ordinal, "of", c.Count)
	}
	// Output:
	// cart-1 is 0 of 4
	// cart-2 is 2 of 4
	// cart-3 is 3 of 4
	// cart-4 is 1 of 4
}

// A client that is missing from the list for a moment keeps its place. At first
// it has none, which is 0 of 0.
func ExampleSteady() {
	var steady subset.Steady
	start := time.Unix(0, 0)
	at := func(after time.Duration, ids ...string) {
		c, again := steady.Observe(start.Add(after), subset.Among("cart", "cart-1", ids))
		fmt.Printf("%v: %d of %d, again in %v\n", after, c.Ordinal, c.Count, again)
	}
	at(0, "cart-1", "cart-2")
	at(30*time.Second, "cart-1", "cart-2")
	at(time.Minute, "cart-2")
	at(70*time.Second, "cart-1", "cart-2")
	// Output:
	// 0s: 0 of 0, again in 30s
	// 30s: 0 of 2, again in 0s
	// 1m0s: 0 of 2, again in 30s
	// 1m10s: 0 of 2, again in 0s
}
