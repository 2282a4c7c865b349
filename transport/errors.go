package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport/balance"
)

// Questions that callers ask of an error with errors.Is. A refusal by the
// service's circuit breaker matches breaker.ErrOpen, one by its throttle
// limit.ErrThrottled.
var (
	// ErrNoInstances: the registry knows no instance of the service that may
	// be called.
	ErrNoInstances = balance.ErrNoInstances
	// ErrBulkheadFull: too many calls to the service are in flight already.
	ErrBulkheadFull = errors.New("too many calls in flight")
	// ErrTimeout: the policy's time for the whole call has passed. It also
	// matches context.DeadlineExceeded.
	ErrTimeout error = timeoutError("call timeout")
	// ErrAttemptTimeout: the last attempt took longer than an attempt may. It
	// also matches context.DeadlineExceeded.
	ErrAttemptTimeout error = timeoutError("attempt timeout")
	// ErrClosed: the client has been closed.
	ErrClosed = errors.New("client closed")
	// ErrBodyTooLarge: the response body is larger than the policy allows.
	ErrBodyTooLarge = errors.New("response body too large")
	// ErrHeaderTooLarge: the response's header has more than 64 KiB. The call
	// is not made again, since what asks the same is told the same. It counts
	// as a failure of the service, as with ErrBodyTooLarge. Over HTTP/2
	// only one that is a little too large is known as such. Under one that
	// goes on in another frame, or has a single field of that size, net/http
	// breaks the connection, as for any violation of the protocol.
	ErrHeaderTooLarge = errors.New("response header too large")
)

// bulkheadError is a call for which there was no place.
type bulkheadError struct {
	max   int
	route string // empty for the service's bulkhead
}

func (e *bulkheadError) Error() string {
	if e.route == "" {
		return fmt.Sprintf("%v (limit %d)", ErrBulkheadFull, e.max)
	}
	return fmt.Sprintf("%v (limit %d of route %q)", ErrBulkheadFull, e.max, e.route)
}

func (e *bulkheadError) Is(target error) bool { return target == ErrBulkheadFull }

// timeoutError is a net.Error that matches context.DeadlineExceeded.
type timeoutError string

func (e timeoutError) Error() string        { return string(e) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Temporary() bool      { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// An Error is a call that brought no response.
type Error struct {
	// Service is the service that was called.
	Service string
	// Instance is the ID of the instance of the last attempt; empty when none
	// was made.
	Instance string
	// Attempts is the number of attempts that were made.
	Attempts int
	// Sent reports whether a server can have seen any part of the request. If
	// it is false, doing the call again is safe whatever the method.
	Sent  bool
	final bool // of a shared call: nobody above need retry
	// Err is the cause, that of the last attempt if there was one.
	Err error
}

// Error names the service, the attempts, the instance and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "transport: call %q", e.Service)
	switch {
	case e.Attempts == 1:
		fmt.Fprintf(&b, " (instance %q)", e.Instance)
	case e.Attempts > 1:
		fmt.Fprintf(&b, " (%d attempts, last instance %q)", e.Attempts, e.Instance)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether time ran out, as net.Error has it.
func (e *Error) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Temporary is always true: every failed call may succeed later.
func (e *Error) Temporary() bool { return true }

// ownBodyError is the cause of a call whose own body could not be read, or not
// in time: no server is to blame.
type ownBodyError struct{ err error }

func (e *ownBodyError) Error() string { return e.err.Error() }
func (e *ownBodyError) Unwrap() error { return e.err }

// Unavailable reports whether err says that the service could not serve, as
// opposed to a caller that gave up or whose request body could not be read: the
// cases in which a fallback makes sense.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[*ownBodyError](err); ok {
		return false
	}
	_, ok := errors.AsType[*Error](err)
	return ok || errors.Is(err, breaker.ErrOpen)
}
