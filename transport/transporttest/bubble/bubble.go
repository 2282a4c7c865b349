package bubble

import (
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"testing/synctest"
)

// Run calls f in a bubble of its own and waits until every goroutine of the
// bubble has ended. name is that of tb, and of the error.
//
// The error is nil if f returned without failing tb; skipping is not failing.
// Otherwise it is an [*Error], with all that was logged, or with the panic of
// f, of a cleanup, or of a bubble whose goroutines wait for each other for ever.
// A panic in another goroutine ends the process, as always, and goroutines that
// are stuck are left behind.
//
// tb works as in a test: its cleanups run in the bubble, its context ends
// before they do. Runs may follow each other and be made at the same time, also
// by tests, but not within a bubble.
func Run(name string, f func(tb testing.TB)) (err error) {
	r := &recorder{name: name}
	defer func() {
		if v := recover(); v != nil { // the bubble's own: its goroutines are stuck
			r.panicked(v)
		}
		err = r.err()
	}()
	// A test without a parent does all that a bubble needs, and reports to
	// nobody: f gets the recorder, so the test itself never fails.
	synctest.Test(&testing.T{}, func(t *testing.T) {
		r.TB = t
		r.run(f)
	})
	return nil
}

// An Error is a run that failed.
type Error struct {
	Name string
	// Log is what was logged, lines that end with a line break, in order.
	Log string
	// Panic is the value of the panic that ended the run, or nil, and Stack is
	// where it came from.
	Panic any
	Stack []byte
}

// Error returns the panic's value or the log.
func (e *Error) Error() string {
	if e.Panic != nil {
		return fmt.Sprintf("bubble: %s: panic: %v", e.Name, e.Panic)
	}
	if e.Log == "" {
		return fmt.Sprintf("bubble: %s: failed", e.Name)
	}
	return fmt.Sprintf("bubble: %s: %s", e.Name, e.Log[:len(e.Log)-1])
}

// Unwrap returns the panic's value if that is an error.
func (e *Error) Unwrap() error {
	err, _ := e.Panic.(error)
	return err
}

// errExit: f has ended its goroutine by other means than tb.
var errExit = errors.New("runtime.Goexit was called")

// run calls f and the cleanups, each in a goroutine of its own, so that ending
// it, as FailNow does, ends nothing else.
func (r *recorder) run(f func(testing.TB)) {
	r.guard(func() { f(r) })
	r.cancel()
	for c := r.nextCleanup(); c != nil; c = r.nextCleanup() {
		r.guard(c)
	}
}

// guard calls f and waits for its end, however that comes.
func (r *recorder) guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if v := recover(); v != nil {
				r.panicked(v)
			} else if !returned && !r.ending() {
				r.panicked(errExit)
			}
		}()
		f()
		returned = true
	}()
	<-done
}

func (r *recorder) panicked(v any) {
	stack := debug.Stack()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panic == nil {
		r.panic, r.stack = v, stack
	}
	r.failed = true
}

func (r *recorder) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed {
		return nil
	}
	return &Error{Name: r.name, Log: r.log.String(), Panic: r.panic, Stack: r.stack}
}
