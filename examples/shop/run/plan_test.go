package run

import (
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"default":  {nil, "storefront=1,cart=2,catalog=2,pricing=3,inventory=2"},
		"one":      {[]string{"pricing=5"}, "storefront=1,cart=2,catalog=2,pricing=5,inventory=2"},
		"list":     {[]string{"pricing=5, cart=1"}, "storefront=1,cart=1,catalog=2,pricing=5,inventory=2"},
		"last won": {[]string{"pricing=5", "pricing=0"}, "storefront=1,cart=2,catalog=2,pricing=0,inventory=2"},
		"repeated": {[]string{"storefront=2", "catalog=50"}, "storefront=2,cart=2,catalog=50,pricing=3,inventory=2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := parts()
			for _, arg := range tc.args {
				if err := p.Set(arg); err != nil {
					t.Error(err)
				}
			}
			if got := p.String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	for arg, want := range map[string]string{
		"pricing":            `"pricing": want SERVICE=NUMBER`,
		"price=3":            `no service is named "price"; there are storefront, cart, catalog, pricing, inventory`,
		"pricing=-1":         "pricing=-1: want a number from 0 to 50",
		"pricing=51":         "from 0 to 50",
		"pricing=many":       "pricing=many: want a number",
		"storefront=0":       "the storefront is the page itself",
		"price=3,pricing=99": "pricing=99",
	} {
		p := parts()
		if err := p.Set(arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arg, err, want)
		}
	}
}
