package hashring_test

import (
	"fmt"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

var members = []hashring.Member{{Key: "cart-1"}, {Key: "cart-2"}, {Key: "cart-3", Weight: 2}}

func ExampleBuild() {
	table, err := hashring.Build(hashring.Settings{Kind: hashring.Maglev}, members)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, user := range []string{"ada", "grace", "barbara", "ada"} {
		fmt.Println(user, members[table.Lookup(hashring.Sum(user))].Key)
	}
	// Output:
	// ada cart-1
	// grace cart-2
	// barbara cart-3
	// ada cart-1
}

func ExampleTable_Choices() {
	table, err := hashring.Build(hashring.Settings{}, members)
	if err != nil {
		fmt.Println(err)
		return
	}
	down := map[string]bool{"cart-3": true}
	for i := range table.Choices(hashring.Sum("ada")) {
		if key := members[i].Key; !down[key] {
			fmt.Println(key)
			break
		}
	}
	// Output:
	// cart-1
}

func ExampleTable_Bounded() {
	table, err := hashring.Build(hashring.Settings{}, members)
	if err != nil {
		fmt.Println(err)
		return
	}
	inFlight, total := make([]int, table.Len()), 0
	for range 8 { // eight calls with the same key
		bound := hashring.Bound{Factor: 1.25, Total: total}
		i := table.Bounded(hashring.Sum("ada"), bound, func(i int) int { return inFlight[i] })
		inFlight[i]++
		total++
	}
	fmt.Println(inFlight)
	// Output:
	// [3 0 5]
}
