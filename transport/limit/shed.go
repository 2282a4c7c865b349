package limit

import (
	"context"
	"errors"
	"time"
)

// ErrShed: the request was refused before any work, because there is too much
// of it. It may be sent elsewhere, whatever its method.
var ErrShed = errors.New("limit: request shed")

// Why a request was refused: the values of [ShedError.Reason].
const (
	// ReasonQueueFull: all places were taken, and all places in the queue.
	ReasonQueueFull = "queue_full"
	// ReasonPreempted: it was queued, and had to make room for one that is
	// more critical, or newer during an overload.
	ReasonPreempted = "preempted"
	// ReasonQueueTimeout: it had waited in the queue for too long.
	ReasonQueueTimeout = "queue_timeout"
	// ReasonExpired: its context had ended before it was its turn. The error
	// unwraps to the context's.
	ReasonExpired = "expired"
)

// A ShedError is a request that was refused. It matches [ErrShed].
type ShedError struct {
	// Reason is one of the Reason constants, fit for a metric's label.
	Reason string
	// RetryAfter is how long the caller should leave this server alone; zero
	// if it does not matter.
	RetryAfter time.Duration
	// Err is the error of the context that had ended, or nil.
	Err error
}

// Error returns the reason in words.
func (e *ShedError) Error() string {
	s := ErrShed.Error() + ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is [ErrShed].
func (e *ShedError) Is(target error) bool { return target == ErrShed }

// Unwrap returns Err.
func (e *ShedError) Unwrap() error { return e.Err }

// retryAfter is what refused callers are told: the least that the header can
// say. Callers spread themselves from there on upwards.
const retryAfter = time.Second

// Refusals are made once and shared: refusing must cost next to nothing. They
// are never changed.
var (
	errQueueFull    = &ShedError{Reason: ReasonQueueFull, RetryAfter: retryAfter}
	errPreempted    = &ShedError{Reason: ReasonPreempted, RetryAfter: retryAfter}
	errQueueTimeout = &ShedError{Reason: ReasonQueueTimeout, RetryAfter: retryAfter}
	errCanceled     = &ShedError{Reason: ReasonExpired, Err: context.Canceled}
	errExpired      = &ShedError{Reason: ReasonExpired, Err: context.DeadlineExceeded}
)

// ended returns the refusal for a context that has ended with err.
func ended(err error) *ShedError {
	switch {
	case errors.Is(err, context.Canceled):
		return errCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return errExpired
	default:
		return &ShedError{Reason: ReasonExpired, Err: err}
	}
}
