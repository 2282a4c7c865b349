package run

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// part is one service of the shop.
type part struct {
	name     string
	replicas int
	// tier is the place in the drain: who calls others ends before them.
	tier int
}

// parts returns the shop as it is without -replicas.
func parts() plan {
	return plan{
		{name: "storefront", replicas: 1, tier: 0},
		{name: "cart", replicas: 2, tier: 1},
		{name: "catalog", replicas: 2, tier: 2},
		{name: "pricing", replicas: 3, tier: 2},
		{name: "inventory", replicas: 2, tier: 2},
	}
}

// maxReplicas keeps a slip of the finger from filling the machine.
const maxReplicas = 50

// plan says how many replicas each service has. It is the value of the flag
// -replicas.
type plan []part

// String lists the services as -replicas takes them.
func (p *plan) String() string {
	var list []string
	for _, s := range *p {
		list = append(list, fmt.Sprintf("%s=%d", s.name, s.replicas))
	}
	return strings.Join(list, ",")
}

// Set takes pricing=5 or pricing=5,cart=3.
func (p *plan) Set(text string) error {
	var errs []error
	for one := range strings.SplitSeq(text, ",") {
		errs = append(errs, p.setOne(one))
	}
	return errors.Join(errs...)
}

func (p *plan) setOne(text string) error {
	name, number, found := strings.Cut(strings.TrimSpace(text), "=")
	if !found {
		return fmt.Errorf("%q: want SERVICE=NUMBER, such as pricing=5", text)
	}
	i := slices.IndexFunc(*p, func(s part) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("no service is named %q; there are %s", name, strings.Join(p.names(), ", "))
	}
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 0 || n > maxReplicas:
		return fmt.Errorf("%s=%s: want a number from 0 to %d", name, number, maxReplicas)
	case n == 0 && name == "storefront":
		return errors.New("storefront=0: the storefront is the page itself; want 1 or more")
	}
	(*p)[i].replicas = n
	return nil
}

func (p *plan) names() (list []string) {
	for _, s := range *p {
		list = append(list, s.name)
	}
	return list
}
