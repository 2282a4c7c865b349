package shoptest_test

import (
	"testing"

	"github.com/gabion-go/gabion/examples/shop/cart"
	"github.com/gabion-go/gabion/examples/shop/storefront"
	"github.com/gabion-go/gabion/transport/doctor"
)

// The settings of the shop's services make sense together.
func TestSettings(t *testing.T) {
	calls := func(names ...string) (all []doctor.Call) {
		for _, n := range names {
			all = append(all, doctor.Call{Service: n})
		}
		return all
	}
	fleet := doctor.Fleet{Services: []doctor.Service{
		// Both have an answer of their own when a neighbour has none.
		{Name: "storefront", Policies: storefront.Policies(), Calls: calls("catalog", "pricing", "inventory", "cart"), Fallbacks: []string{""}},
		{Name: "cart", Policies: cart.Policies(), Calls: calls("pricing", "inventory"), Fallbacks: []string{""}},
		{Name: "catalog"}, {Name: "pricing"}, {Name: "inventory"},
	}}
	for _, f := range doctor.Check(fleet) {
		if f.Severity > doctor.Info {
			t.Error(f)
		}
	}
}
