package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// A Check looks at one thing and returns nil when it is well. It must be done
// when ctx is. It never runs twice at once. A panic is a failure.
//
// The text of its error is shown to whoever asks for the details of a probe.
// It is shortened, and passwords in the usual forms of URLs and data source
// names are taken out, but that is the second line of defence: do not put
// secrets into errors.
type Check func(ctx context.Context) error

// Kind is what a check is for. The package comment tells them apart.
type Kind int8

// The kinds of checks.
const (
	Readiness Kind = iota // may calls come
	Liveness              // must the process be restarted: never depends on the outside
	Startup               // has the process started: runs until it has passed
)

// String returns "readiness", "liveness" or "startup".
func (k Kind) String() string {
	switch k {
	case Readiness:
		return "readiness"
	case Liveness:
		return "liveness"
	case Startup:
		return "startup"
	default:
		return fmt.Sprintf("Kind(%d)", int8(k))
	}
}

// check is one check, what is known of it, and its run in flight. All below
// the settings is guarded by Checker.mu.
type check struct {
	name        string
	fn          Check
	kind        Kind
	degradeOnly bool
	timeout     time.Duration
	rise, fall  int

	healthy     bool
	streak      int // results in a row that speak against healthy
	output      string
	checked     time.Time // of the last result; zero before the first
	took        time.Duration
	transitions uint64
	run         *run // until fn has returned, even when it is long overdue
}

// run is one call of a check's function.
type run struct {
	started time.Time
	settled bool          // its result is recorded; guarded by Checker.mu
	done    chan struct{} // closed when settled
}

// validate reports, joined, what is wrong with the settings.
func (k *check) validate(deadline time.Duration) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w %.64q: %s", ErrBadCheck, k.name, fmt.Sprintf(format, args...)))
	}
	if k.name == "" {
		bad("no name")
	}
	if k.fn == nil {
		bad("no function")
	}
	if k.kind < Readiness || k.kind > Startup {
		bad("unknown kind %d", int8(k.kind))
	}
	if k.kind == Startup && k.degradeOnly {
		bad("a startup check cannot be degrade-only")
	}
	if k.timeout <= 0 || k.timeout > deadline {
		bad("timeout %v: want more than 0 and at most the deadline of %v", k.timeout, deadline)
	}
	if k.rise < 1 || k.fall < 1 {
		bad("thresholds %d and %d: want at least 1", k.rise, k.fall)
	}
	return errors.Join(errs...)
}

// record takes in one result and moves healthy by the thresholds.
func (k *check) record(err error, now time.Time, took time.Duration) {
	k.checked, k.took, k.output = now, took, ""
	if err != nil {
		k.output = clean(err.Error())
	}
	ok := err == nil
	if ok == k.healthy {
		k.streak = 0
		return
	}
	need := k.fall
	if ok {
		need = k.rise
	}
	if k.streak++; k.streak >= need {
		k.healthy, k.streak = ok, 0
		k.transitions++
	}
}

// status is what the check says of the whole.
func (k *check) status() discovery.Status {
	switch {
	case k.healthy:
		return discovery.Passing
	case k.degradeOnly:
		return discovery.Warning
	default:
		return discovery.Critical
	}
}
