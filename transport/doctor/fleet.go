package doctor

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

// mostAttempts is how many attempts one request may become at the end of its path
// without a finding: a hop that retries, and one more.
const mostAttempts = 2 * retry.DefaultAttempts

// deregistration is how long leaving the registry may take.
const deregistration = 3 * time.Second

// lifecycle looks at how s ends.
func (c *checkup) lifecycle(s *Service) {
	e := edge{service: s.Name}
	drain, shutdown := cmp.Or(s.DrainDelay, 2*time.Second), cmp.Or(s.ShutdownTimeout, 15*time.Second)
	grace := cmp.Or(s.Grace, 30*time.Second)
	if all := deregistration + drain + shutdown; all > grace {
		c.add(e, Error, DrainOverGrace,
			"ends within %v (up to %v for leaving the registry, %v of drain delay, %v for what is in flight), but is killed after %v; shorten them, or raise terminationGracePeriodSeconds",
			all, deregistration, drain, shutdown, grace)
	}
	for i := range c.services {
		caller := &c.services[i]
		for _, call := range caller.calls() {
			if call.Service != s.Name {
				continue
			}
			if t := caller.policy(s.Name).WithDefaults().Timeout; t > drain+shutdown {
				c.add(e, Warning, ShutdownCutsCalls,
					"what is in flight has %v to finish at the end, but %s may wait %v for it; raise the shutdown timeout", drain+shutdown, caller.Name, t)
			}
		}
	}
}

// amplification looks at the paths that begin at s.
func (c *checkup) amplification(s *Service) {
	w := walk{checkup: c}
	n, path := w.worst(s, nil)
	if w.cycle != nil {
		if slices.Min(w.cycle) == s.Name { // told once, by the first of them
			c.add(edge{service: s.Name}, Warning, CallCycle,
				"calls go round in a circle: %s; a slow request then holds places in all of them", strings.Join(w.cycle, " -> "))
		}
		return
	}
	if n > mostAttempts {
		c.add(edge{service: s.Name}, Warning, RetryAmplification,
			"a request becomes up to %d at the end of %s, when that fails; let only one hop of the path retry, by attempts 1 or by X-Gabion-No-Retry",
			n, strings.Join(append([]string{s.Name}, path...), " -> "))
	}
}

// walk follows calls.
type walk struct {
	*checkup
	cycle []string
}

// worst returns how many attempts a request to s may become at the end of the
// worst path from there, and the services on it after s. A service that says that
// it has retried keeps its callers from doing so.
func (w *walk) worst(s *Service, before []string) (n int, path []string) {
	if i := slices.Index(before, s.Name); i >= 0 {
		w.cycle = append(slices.Clone(before[i:]), s.Name)
		return 1, nil
	}
	before = append(slices.Clone(before), s.Name)
	n = 1
	for _, call := range s.calls() {
		p := s.policy(call.Service)
		attempts, further, rest := p.Retry.MaxAttempts(), 1, []string(nil)
		if callee := w.byName[call.Service]; callee != nil {
			further, rest = w.worst(callee, before)
			if !callee.Unmarked && further > 1 {
				attempts, further = max(attempts, further), 1
			}
		}
		if total := attempts * further; total > n {
			n, path = total, append([]string{call.Service}, rest...)
		}
	}
	return n, path
}
