package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// refresh brings every check of the kinds up to date and waits for those that
// had to run: until their time-outs, hence never longer than the deadline, or
// until ctx ends. The runs go on without ctx, for they belong to all who wait.
func (c *Checker) refresh(ctx context.Context, kinds ...Kind) {
	for _, r := range c.startDue(kinds) {
		select {
		case <-r.done:
		case <-ctx.Done():
			return
		}
	}
}

// startDue starts what is due and returns all runs whose results are awaited,
// those that others started included.
func (c *Checker) startDue(kinds []Kind) []*run {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wait []*run
	for _, k := range c.checks {
		if slices.Contains(kinds, k.kind) {
			if r := c.start(k); r != nil {
				wait = append(wait, r)
			}
		}
	}
	return wait
}

// start returns the run to wait for, or nil when what is known of k stands.
// The caller holds c.mu.
func (c *Checker) start(k *check) *run {
	now := time.Now()
	switch {
	case k.run != nil && !k.run.settled:
		return k.run
	case k.kind == Startup && (k.healthy || c.marked):
		return nil
	case !k.checked.IsZero() && now.Sub(k.checked) < c.cacheFor:
		return nil
	case k.run != nil: // overdue: it failed once more, and no second run piles up
		age := now.Sub(k.run.started)
		k.record(fmt.Errorf("health: check hangs since %v", age.Round(time.Second)), now, age)
		c.publish()
		return nil
	}
	k.run = &run{started: now, done: make(chan struct{})}
	go c.execute(k, k.run)
	return k.run
}

// execute calls the check's function and settles r with what it returns, or
// with a failure when its time is over first.
func (c *Checker) execute(k *check, r *run) {
	ctx, cancel := context.WithTimeout(context.Background(), k.timeout)
	defer cancel()
	overdue := time.AfterFunc(k.timeout, func() {
		c.settle(k, r, fmt.Errorf("health: no answer within %v", k.timeout))
	})
	err := errors.New("health: check panicked") // stands if fn panics or calls runtime.Goexit
	defer func() {
		_ = recover() // a check that panics has failed; the process goes on
		overdue.Stop()
		c.settle(k, r, err)
		c.release(k)
	}()
	err = k.fn(ctx)
}

// settle records the result of r once; later calls for the same run do nothing.
func (c *Checker) settle(k *check, r *run, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.settled {
		return
	}
	now := time.Now()
	k.record(err, now, now.Sub(r.started))
	r.settled = true
	close(r.done)
	c.publish()
}

// release lets the next run of k start.
func (c *Checker) release(k *check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.run = nil
}
