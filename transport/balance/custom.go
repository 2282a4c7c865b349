package balance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// WithPicker adds a policy of one's own, which [Policy.Name] can then name; name
// must be none of this package's. New calls f once, with the source of chance
// that the policy should use. All sets of endpoints that calls are spread over,
// such as one for each zone, share what it returns, and it stays while the
// balancer does, whatever the policy is meanwhile.
func WithPicker(name string, f func(rand.Source) Picker) Option {
	return optionFunc(func(b *Balancer) { b.custom = append(b.custom, custom{name: name, build: f}) })
}

// custom is a policy that is not of this package.
type custom struct {
	name   string
	build  func(rand.Source) Picker
	picker Picker
}

// buildCustom makes the pickers that options have named.
func (b *Balancer) buildCustom() error {
	var errs []error
	for i := range b.custom {
		c := &b.custom[i]
		switch {
		case c.name == "" || slices.Contains(known, c.name):
			errs = append(errs, fmt.Errorf("balance: picker %q: want a name that is not taken", c.name))
			continue
		case c.build != nil:
			c.picker = c.build(b.rand)
		}
		if c.picker == nil {
			errs = append(errs, fmt.Errorf("balance: picker %q: want one, not nil", c.name))
		}
	}
	return errors.Join(errs...)
}

// customPicker returns the picker of that name, of several the last.
func (b *Balancer) customPicker(name string) Picker {
	for _, c := range slices.Backward(b.custom) {
		if c.name == name {
			return c.picker
		}
	}
	return nil
}

// names are those of all policies that b has.
func (b *Balancer) names() []string {
	names := slices.Clone(known)
	for _, c := range b.custom {
		names = append(names, c.name)
	}
	return names
}
