package health

import (
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// Status returns what a service registry should say of the process, and a
// channel that is closed when it changes; it fits [discovery.StatusFunc].
// Critical: not started, draining, or a critical readiness or liveness check
// fails. Warning: a degrade-only check fails. Passing: all is well. It runs no
// check and never blocks: see [Checker.Run].
func (c *Checker) Status() (discovery.Status, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.changed
}

// Transitions returns how often the status has changed since New.
func (c *Checker) Transitions() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transitions
}

// publish makes a change of the status known. The caller holds c.mu.
func (c *Checker) publish() {
	now := c.readiness()
	if now == c.status {
		return
	}
	c.status = now
	c.transitions++
	close(c.changed)
	c.changed = make(chan struct{})
}

// readiness weighs all that readiness hangs on. A process that is not live is
// not ready either. The caller holds c.mu.
func (c *Checker) readiness() discovery.Status {
	if c.draining || !c.started() {
		return discovery.Critical
	}
	return min(c.worst(Readiness), c.worst(Liveness))
}

// started reports whether the start-up is over. The caller holds c.mu.
func (c *Checker) started() bool {
	return c.marked || !c.manualStart && c.worst(Startup) == discovery.Passing
}

// worst returns the worst status among the checks of a kind, Passing without
// any. The caller holds c.mu.
func (c *Checker) worst(kind Kind) discovery.Status {
	s := discovery.Passing
	for _, k := range c.checks {
		if k.kind == kind {
			s = min(s, k.status())
		}
	}
	return s
}

// Result is what is known of one check.
type Result struct {
	Name        string
	Kind        Kind
	DegradeOnly bool
	// Healthy is the state after the thresholds. Before the first run it is
	// true for a liveness check and false for the others.
	Healthy bool
	// Output is the text of the last run's error, short and without
	// passwords; empty when that run passed.
	Output string
	// Checked is when the last result came; zero before the first.
	Checked time.Time
	// Took is how long the last run took, or has taken so far if it hangs.
	Took time.Duration
	// Transitions is how often Healthy has changed.
	Transitions uint64
}

// Results returns what is known of every check, sorted by name. It runs none:
// it is meant for the scraping of metrics.
func (c *Checker) Results() []Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Result, 0, len(c.checks))
	for _, k := range c.checks {
		list = append(list, k.result())
	}
	return list
}

func (k *check) result() Result {
	return Result{
		Name: k.name, Kind: k.kind, DegradeOnly: k.degradeOnly,
		Healthy: k.healthy, Output: k.output, Checked: k.checked, Took: k.took,
		Transitions: k.transitions,
	}
}
