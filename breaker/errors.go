package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrOpen matches, by [errors.Is], every error that says that a breaker refused
// a call: circuit open, half-open with its probe under way, or closed and still
// ramping up.
var ErrOpen = errors.New("breaker: circuit open")

// ErrFallbackBusy is joined to the call's error when a fallback was needed and
// all its places were taken.
var ErrFallbackBusy = errors.New("breaker: fallback busy")

// RejectedError is what a refused call gets. It matches [ErrOpen].
type RejectedError struct {
	// Name is the breaker's.
	Name string
	// State is the state that refused: Closed means the ramp after recovery.
	State State
	// RetryAfter is the time until a call may pass: until the open period or
	// the lease of the probe under way ends, or a short pause during the ramp.
	// Zero means unknown, because an operator holds the circuit open.
	RetryAfter time.Duration
}

// Error names the breaker and what refused, without RetryAfter, so that equal
// refusals have equal texts.
func (e *RejectedError) Error() string {
	switch e.State {
	case HalfOpen:
		return fmt.Sprintf("breaker %q: circuit half-open, probe under way", e.Name)
	case Closed:
		return fmt.Sprintf("breaker %q: circuit ramping up", e.Name)
	default:
		return fmt.Sprintf("breaker %q: circuit open", e.Name)
	}
}

// Is reports whether target is [ErrOpen].
func (e *RejectedError) Is(target error) bool { return target == ErrOpen }

// AttemptTimeout marks err as a time limit of the guarded code itself. It counts
// as a failure even if the caller's context is done by the time the breaker
// sees it. The result wraps err and matches [context.DeadlineExceeded]. The
// result for a nil err is nil.
func AttemptTimeout(err error) error {
	if err == nil {
		return nil
	}
	return &attemptTimeoutError{err}
}

type attemptTimeoutError struct{ err error }

func (e *attemptTimeoutError) Error() string        { return e.err.Error() }
func (e *attemptTimeoutError) Unwrap() error        { return e.err }
func (e *attemptTimeoutError) Timeout() bool        { return true }
func (e *attemptTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
