package collapse

import (
	"errors"
	"fmt"
)

var (
	// ErrMissing: the batch brought nothing for the key.
	ErrMissing = errors.New("collapse: no result for the key")
	// ErrClosed: the Collapser has been closed.
	ErrClosed = errors.New("collapse: closed")
)

// A MissingError says for which key a batch brought nothing. It matches
// [ErrMissing].
type MissingError struct {
	Key any
}

// Error names the key.
func (e *MissingError) Error() string { return fmt.Sprintf("collapse: no result for key %v", e.Key) }

// Is reports whether target is ErrMissing.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// A PanicError is a panic of the batch function, as each of its callers gets it.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the panic's value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("collapse: the batch panicked: %v", e.Value) }

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
