package consul

import (
	"slices"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// A settler holds on to instances that a Consul which failed or lost its
// memory has not shown again yet. A Consul that restarts shows instances one
// after the other, as they register again or as their checks pass for the first
// time; the first must not get the calls of all.
type settler struct {
	period  time.Duration // negative for none
	until   time.Time
	missing []discovery.Instance // not seen since the interruption
}

// interrupted begins a period, or begins it anew. list is what stood before.
func (s *settler) interrupted(list []discovery.Instance) {
	if s.period < 0 {
		return
	}
	s.until = time.Now().Add(s.period)
	s.missing = list
}

// complete returns list with those instances that are still missing. One that
// has come back, by its ID or its address, is believed from then on.
func (s *settler) complete(list []discovery.Instance) []discovery.Instance {
	if len(s.missing) == 0 {
		return list
	}
	if !time.Now().Before(s.until) {
		s.missing = nil
		return list
	}
	back := make(map[string]bool, 2*len(list))
	for _, in := range list {
		back[in.ID], back[in.Addr] = true, true
	}
	var missing []discovery.Instance
	for _, in := range s.missing {
		if !back[in.ID] && !back[in.Addr] {
			missing = append(missing, in)
		}
	}
	s.missing = missing
	list = slices.Concat(list, missing)
	discovery.Sort(list)
	return list
}

// bound shortens a wait so that it ends with the period, while anything is
// missing.
func (s *settler) bound(wait time.Duration) time.Duration {
	if len(s.missing) == 0 {
		return wait
	}
	return min(wait, max(time.Second, time.Until(s.until)))
}
