package discovery

import (
	"context"
	"errors"
	"iter"
)

// Errors that callers ask for with errors.Is.
var (
	// ErrBadName: a service name that no registry is asked for.
	ErrBadName = errors.New("discovery: bad service name")
	// ErrUnknownScheme: no opener is there for the URL's scheme.
	ErrUnknownScheme = errors.New("discovery: unknown scheme")
	// ErrReadOnly: the backend cannot register, as static and DNS cannot.
	ErrReadOnly = errors.New("discovery: backend is read-only")
	// ErrClosed: the backend or directory has been closed.
	ErrClosed = errors.New("discovery: closed")
)

// Status is what a registered instance says of itself.
type Status int8

// The statuses, from bad to good.
const (
	Critical Status = iota // must not be called
	Warning                // degraded, may be called
	Passing                // may be called
)

// String returns "critical", "warning" or "passing".
func (s Status) String() string {
	switch s {
	case Passing:
		return "passing"
	case Warning:
		return "warning"
	default:
		return "critical"
	}
}

// StatusFunc returns the status of the instance now, and a channel that is
// closed when the status may have changed. It is called often and must answer
// at once. The channel may be nil for a status that never changes. A nil
// StatusFunc stands for an instance that is always passing.
type StatusFunc func() (Status, <-chan struct{})

// A Registrar puts instances into a registry.
type Registrar interface {
	// Register announces in and keeps it announced, through restarts and
	// losses of the registry, until Deregister. It returns once the instance
	// is validated and the work is under way: a registry that is down at this
	// moment is not an error but is retried for ever, and shows in
	// [Registration.Err]. ctx bounds the call only. status decides whether
	// callers may find the instance; nil means always. The error is that of
	// [Instance.Validate], or matches [ErrReadOnly] or [ErrClosed].
	Register(ctx context.Context, in Instance, status StatusFunc) (Registration, error)
}

// A Registration is one announced instance.
type Registration interface {
	// Deregister takes the instance out of the registry, bounded by ctx, and
	// stops all work for it whatever the outcome. A second call does nothing
	// and returns nil.
	Deregister(ctx context.Context) error
	// Err returns why the instance is not announced at this moment, or nil
	// when it is.
	Err() error
}

// A Resolver finds the instances of a service.
type Resolver interface {
	// Watch yields every callable instance of service, first when known and
	// then on each change: complete lists sorted by [Sort], never deltas,
	// owned by the caller. A service that nobody has registered yields an
	// empty, non-nil list. After a failure Watch yields a nil list and the
	// error, backs off, and goes on. It ends only when ctx does, the loop
	// around it, or the backend by Close. It starts nothing that outlives that
	// loop. A list equal to the one before is not yielded again, unless an
	// error came between. A name that [ValidateName] refuses reaches no
	// registry: Watch yields that error and ends.
	Watch(ctx context.Context, service string) iter.Seq2[[]Instance, error]
}

// A Backend is a registry that can be read, and often written.
type Backend interface {
	Registrar
	Resolver
	// Close ends every watch and registration of this backend and waits for
	// their goroutines. It does not deregister: whoever registered does. A
	// second Close does nothing.
	Close() error
}
