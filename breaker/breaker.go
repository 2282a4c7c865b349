package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// A Breaker guards the calls to one dependency. Its methods and [Do] may be
// called from many goroutines at once. Make one with [New].
type Breaker struct {
	// Read by every call without the lock, and hardly ever written. What
	// follows keeps them out of the cache line of mu.
	name  string
	cfg   *config
	phase atomic.Pointer[phase] // what callers may do without the lock

	set         *Settings // in force; replaced by Update, never changed
	timer       *time.Timer
	hang        *hangWatch    // nil unless Settings.HangAfter
	openFor     time.Duration // last open period without jitter; 0 before the first
	subscribers []*subscriber // replaced, never changed

	mu      sync.Mutex                          // guards all but name, cfg, phase and rejected
	cb      *gobreaker.CircuitBreaker[struct{}] // window and state machine; only used under mu
	gen     uint64                              // counts the periods of the machine; results of older ones are late
	streak  int                                 // failures in a row
	mode    Mode
	state   State // cb's state, kept by changed
	shown   State // what State answers and the last event said
	probing bool  // a probe is under way
	lost    bool  // the failure being counted is a lease that ran out
	misfit  bool  // cb is not of the shape that set asks for
	moving  bool  // a new cb is being brought to the present state
	called  bool  // ProbeSoon was called in this open period
	drowned bool  // the busy row opens the circuit, or has opened it

	delivering bool
	queue      []notice

	until    time.Time // open: end of the period; half-open: of the lease; closed: of the ramp
	closedAt time.Time // when the circuit last closed, or was made
	rejected atomic.Uint64

	// Times since closedAt, for the ramp and for busy.go.
	heard, busySince time.Duration
	busyRow          int    // calls since the last success that found the dependency busy
	tripped          Counts // the window that last opened the circuit
}

// New returns a closed Breaker. name identifies the dependency in errors and
// events and must not be empty. The error joins everything that is wrong.
func New(name string, opts ...Option) (*Breaker, error) {
	cfg, err := newConfig(opts)
	if name == "" {
		err = errors.Join(errors.New("breaker: name is empty"), err)
	}
	if err != nil {
		return nil, err
	}
	return newBreaker(name, cfg), nil
}

func newBreaker(name string, cfg *config) *Breaker {
	b := &Breaker{name: name, cfg: cfg, set: &cfg.Settings, subscribers: cfg.subscribers}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mode = b.own()
	b.reset()
	b.publish(time.Now())
	return b
}

// Do calls fn if b lets it through and counts the outcome. If b refuses, the
// error is a [*RejectedError], which matches [ErrOpen]; otherwise it is fn's
// own. fn runs in the caller's goroutine with ctx as it is. The package comment
// says what counts, panics and [runtime.Goexit] included.
func Do[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	v, _, err := guard(ctx, b, fn)
	return v, err
}

// guard is Do that tells the outcome too: Failure for a refusal.
func guard[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (v T, o Outcome, err error) {
	var a admission
	if err = b.admit(&a); err != nil {
		return v, Failure, err
	}
	err = errAborted // stands if fn panics or calls runtime.Goexit
	defer func() {
		o = b.judge(ctx, &a, err)
		b.finish(&a, o)
	}()
	v, err = fn(ctx)
	return v, o, err
}

// Name returns the name given to [New].
func (b *Breaker) Name() string { return b.name }

// State returns the state at this moment: an open circuit whose period is over
// is half-open, and one whose probe outlived its lease is open, whether calls
// come or not. A mode that decides by itself shows as the state it imposes.
func (b *Breaker) State() State {
	if p := b.phase.Load(); p.gate == gatePass || p.gate == gateTimed {
		return Closed
	}
	b.mu.Lock()
	b.settle(time.Now())
	s, pending := b.shown, len(b.queue) > 0
	b.mu.Unlock()
	if pending {
		b.deliver()
	}
	return s
}

// Mode returns the mode set by [Breaker.Force].
func (b *Breaker) Mode() Mode {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mode
}

// Counts are outcomes of the current state: of the rolling window while closed,
// of the probes so far while half-open, none while open.
type Counts struct {
	// Successes and Failures decide whether the circuit opens.
	Successes, Failures int
	// Ignored ended but said nothing about the dependency, or that it is busy
	// while it does other work.
	Ignored int
	// ConsecutiveFailures since the last success or change of state, however old.
	ConsecutiveFailures int
	// Rejected counts every refusal since the breaker was made; in ModeShadow
	// the calls that would have been refused.
	Rejected uint64
}

// Counts returns the counts at this moment.
func (b *Breaker) Counts() Counts {
	b.mu.Lock()
	b.settle(time.Now())
	if b.state == Closed {
		b.cb.State() // moves the window on; Counts alone does not
	}
	c, pending := b.counts(b.cb.Counts()), len(b.queue) > 0
	b.mu.Unlock()
	if pending {
		b.deliver()
	}
	return c
}

func (b *Breaker) counts(c gobreaker.Counts) Counts {
	return Counts{
		Successes:           int(c.TotalSuccesses),
		Failures:            int(c.TotalFailures),
		Ignored:             int(c.TotalExclusions),
		ConsecutiveFailures: b.streak,
		Rejected:            b.rejected.Load(),
	}
}

// Force sets who decides; ModeAuto gives control back to the counts, or to
// ModeShadow if that is what the settings say. Changing
// between ModeAuto and ModeShadow keeps the state and the window. Every other
// change starts afresh, closed and with an empty window, and calls already
// under way do not count. A mode that does not exist is ModeAuto.
func (b *Breaker) Force(m Mode) {
	if m > ModeShadow {
		m = ModeAuto
	}
	b.mu.Lock()
	if m == ModeAuto {
		m = b.own()
	}
	if m != b.mode {
		keep := m.decides() && b.mode.decides()
		b.mode = m
		if !keep {
			b.reset()
		}
		b.publish(time.Now())
	}
	b.mu.Unlock()
	b.deliver()
}
