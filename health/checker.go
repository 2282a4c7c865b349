package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// Defaults of a Checker and of its checks.
const (
	defaultDeadline = time.Second
	defaultCacheFor = time.Second
	defaultPeriod   = 2 * time.Second
)

// jitter is the share of the period by which the pauses of Run vary, up and
// down, so that many processes do not check one dependency in step.
const jitter = 0.1

// Errors that callers ask for with errors.Is.
var (
	// ErrDuplicate: a check of that name is already there.
	ErrDuplicate = errors.New("health: duplicate check")
	// ErrBadCheck: a check without name or function, or with settings that
	// cannot work.
	ErrBadCheck = errors.New("health: bad check")
)

// A Checker holds checks and their last results. All methods may be called at
// once from many goroutines. Make one with [New].
type Checker struct {
	deadline, cacheFor, period time.Duration
	manualStart                bool

	mu       sync.Mutex
	checks   []*check // sorted by name
	marked   bool     // MarkStarted was called
	draining bool

	status      discovery.Status
	changed     chan struct{} // closed when status changes, then replaced
	transitions uint64
}

// New returns a Checker without checks. It is live, started and ready, unless
// [WithManualStart] holds the start.
func New(opts ...Option) *Checker {
	c := &Checker{
		deadline: defaultDeadline,
		cacheFor: defaultCacheFor,
		period:   defaultPeriod,
		changed:  make(chan struct{}),
	}
	for _, o := range opts {
		o.apply(c)
	}
	c.status = c.readiness()
	return c
}

// Add puts a check under a name that is unique within c. Without options it is
// a critical readiness check. A readiness or startup check counts as failed
// until it has passed; a liveness check counts as passed until it has failed.
//
// remove takes the check out again; a second call does nothing. The error
// joins all that is wrong and matches [ErrBadCheck] or [ErrDuplicate]; remove
// is then a function that does nothing.
func (c *Checker) Add(name string, fn Check, opts ...CheckOption) (remove func(), err error) {
	k := &check{name: name, fn: fn, kind: Readiness, timeout: c.deadline, rise: 1, fall: 1}
	for _, o := range opts {
		o.applyCheck(k)
	}
	if err := k.validate(c.deadline); err != nil {
		return func() {}, err
	}
	k.healthy = k.kind == Liveness

	c.mu.Lock()
	defer c.mu.Unlock()
	i, found := slices.BinarySearchFunc(c.checks, name, func(k *check, name string) int {
		return strings.Compare(k.name, name)
	})
	if found {
		return func() {}, fmt.Errorf("%w: %q", ErrDuplicate, name)
	}
	c.checks = slices.Insert(c.checks, i, k)
	c.publish()
	return func() { c.remove(k) }, nil
}

func (c *Checker) remove(k *check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.checks, k); i >= 0 {
		c.checks = slices.Delete(c.checks, i, i+1)
		c.publish()
	}
}

// MarkStarted ends the start-up, whatever the startup checks say. It is for
// good; a second call does nothing.
func (c *Checker) MarkStarted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marked = true
	c.publish()
}

// SetDraining makes readiness fail for good: the process is about to leave.
// Liveness and startup stay as they are.
func (c *Checker) SetDraining() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.publish()
}

// Run runs all checks at once and then again after every period, until ctx
// ends; it then returns nil, after at most the deadline. A Checker that nobody
// runs learns only from its probes, and [Checker.Status] is as old as the last
// of them.
func (c *Checker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		// The round is bounded by the deadline. It is not cut short with
		// ctx: the end of Run says nothing about the health of a check.
		c.refresh(context.WithoutCancel(ctx), Liveness, Readiness, Startup)
		pause := time.NewTimer(time.Duration(float64(c.period) * (1 - jitter + 2*jitter*rand.Float64())))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return nil
}
