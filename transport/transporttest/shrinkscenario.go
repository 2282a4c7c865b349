package transporttest

import (
	"slices"
	"time"
)

// scenario looks for a smaller scenario that fails: first for fewer and shorter
// faults, and then for less around them.
func (s *shrinker) scenario(all Scenario, run func(Scenario) error) Scenario {
	least := &smaller{shrinker: s, run: run, least: all.clone()}
	least.faults()
	least.durations()
	least.services()
	return least.least
}

// smaller is a scenario that fails and gets smaller.
type smaller struct {
	*shrinker
	run   func(Scenario) error
	least Scenario
}

func (s *smaller) faults() {
	s.least.Faults = s.shrinker.faults(s.least.Faults, func(some []Fault) error {
		return s.run(s.with(func(c *Scenario) { c.Faults = some }))
	})
}

// with returns the smallest scenario up to now with a change.
func (s *smaller) with(change func(*Scenario)) Scenario {
	c := s.least.clone()
	change(&c)
	return c
}

// try runs the scenario with a change. One that is not valid is no failure, nor
// is one that fails without its faults, too: that is another failure, such as
// of a run so short that nobody calls.
func (s *smaller) try(change func(*Scenario)) error {
	c := s.with(change)
	if c.Validate() != nil {
		return nil //nolint:nilerr // as said above
	}
	err := s.run(c)
	if err == nil || len(c.Faults) == 0 {
		return err
	}
	s.runs++
	c.Faults = nil
	if s.run(c) != nil {
		return nil //nolint:nilerr // as said above
	}
	return err
}

// keep makes the change if the scenario still fails with it.
func (s *smaller) keep(change func(*Scenario)) bool {
	ok := s.same(func() error { return s.try(change) })
	if ok {
		change(&s.least)
	}
	return ok
}

// durations leaves out loads and makes shorter what is left.
func (s *smaller) durations() {
	s.least.Duration = s.shorter(s.least.Duration, func(d time.Duration) error {
		return s.try(func(c *Scenario) { c.Duration = d })
	})
	for i := len(s.least.Loads) - 1; i >= 0; i-- {
		s.keep(func(c *Scenario) { c.Loads = slices.Delete(c.Loads, i, i+1) })
	}
	for i := range s.least.Loads {
		s.least.Loads[i].For = s.shorter(s.least.Loads[i].For, func(d time.Duration) error {
			return s.try(func(c *Scenario) { c.Loads[i].For = d })
		})
	}
}

// services leaves out services, and replicas of those that are left.
func (s *smaller) services() {
	for i := len(s.least.Services) - 1; i >= 0; i-- {
		if s.keep(func(c *Scenario) { c.Services = slices.Delete(c.Services, i, i+1) }) {
			continue
		}
		fewer := func(c *Scenario) { c.Services[i].Replicas = c.Services[i].replicas() - 1 }
		for s.least.Services[i].replicas() > 1 && s.keep(fewer) {
		}
	}
}
