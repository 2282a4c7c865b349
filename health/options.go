package health

import "time"

// An Option sets up a [Checker].
type Option interface{ apply(*Checker) }

type optionFunc func(*Checker)

func (f optionFunc) apply(c *Checker) { f(c) }

// WithDeadline sets how long the checks of one probe may take together, which
// is also the most that a single check may take. Default, and for d of zero or
// less: 1 s. Keep it below the time-out of the prober.
func WithDeadline(d time.Duration) Option {
	return optionFunc(func(c *Checker) { c.deadline = orDefault(d, defaultDeadline) })
}

// WithCacheFor sets how long a result serves later probes without a new run.
// Default, and for d of zero or less: 1 s.
func WithCacheFor(d time.Duration) Option {
	return optionFunc(func(c *Checker) { c.cacheFor = orDefault(d, defaultCacheFor) })
}

// WithPeriod sets the pause between two rounds of [Checker.Run], which varies
// by a tenth at random. Results that are still cached are not renewed, so a
// period shorter than [WithCacheFor] gains nothing. Default, and for d of zero
// or less: 2 s.
func WithPeriod(d time.Duration) Option {
	return optionFunc(func(c *Checker) { c.period = orDefault(d, defaultPeriod) })
}

// WithManualStart holds the start-up until [Checker.MarkStarted] is called,
// even when there are no startup checks or all of them have passed. Default:
// false.
func WithManualStart(hold bool) Option {
	return optionFunc(func(c *Checker) { c.manualStart = hold })
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// A CheckOption sets up one check in [Checker.Add].
type CheckOption interface{ applyCheck(*check) }

type checkOptionFunc func(*check)

func (f checkOptionFunc) applyCheck(k *check) { f(k) }

// WithKind sets what the check is for. Default: [Readiness].
func WithKind(kind Kind) CheckOption {
	return checkOptionFunc(func(k *check) { k.kind = kind })
}

// WithDegradeOnly sets whether a failure of the check only degrades: the
// status becomes "warn", and the probe still succeeds. Default: false, the
// check is critical. It cannot be combined with [Startup].
func WithDegradeOnly(degrade bool) CheckOption {
	return checkOptionFunc(func(k *check) { k.degradeOnly = degrade })
}

// WithTimeout bounds one run of the check. d must be positive and not above
// the deadline of the Checker, which is the default.
func WithTimeout(d time.Duration) CheckOption {
	return checkOptionFunc(func(k *check) { k.timeout = d })
}

// WithThresholds sets how many runs in a row must pass before a failed check
// counts as healthy again, and how many must fail before a healthy one counts
// as failed. Both must be at least 1, the default of both. Higher ones keep a
// check that fails now and then from flapping.
func WithThresholds(rise, fall int) CheckOption {
	return checkOptionFunc(func(k *check) { k.rise, k.fall = rise, fall })
}
