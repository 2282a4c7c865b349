package breaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// Outcome is what a call says about the dependency.
type Outcome uint8

const (
	// Success: the dependency did its work, even if the answer was "no".
	Success Outcome = iota
	// Failure: the dependency could not do its work.
	Failure
	// Ignored: the call says nothing about the dependency.
	Ignored
	// Busy: the dependency turned the call away before any work, because it has
	// enough to do. Refusing costs it next to nothing, and what it lets in it
	// serves, so that a circuit that opened would only waste what it can do. It
	// counts neither way while other calls succeed, and as a failure once
	// nothing else has come for as long as the window, in Settings.MinCalls or
	// more. A probe that meets it has found the dependency alive and succeeds,
	// unless that is how the circuit has opened.
	Busy
)

// String returns "success", "failure", "ignored" or "busy".
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Ignored:
		return "ignored"
	case Busy:
		return "busy"
	default:
		return "Outcome(" + strconv.Itoa(int(o)) + ")"
	}
}

// errAborted stands for a panic or runtime.Goexit in guarded code. It never
// leaves the package.
var errAborted = errors.New("breaker: guarded code did not return")

// judge returns the outcome of the call that ended with err. It runs user code
// and must not be called under the lock.
func (b *Breaker) judge(ctx context.Context, a *admission, err error) Outcome {
	if err != nil {
		return b.judgeError(ctx, err)
	}
	if a.start.IsZero() {
		return Success
	}
	if slow := b.phase.Load().slow; slow > 0 && time.Since(a.start) >= slow {
		return Failure
	}
	return Success
}

func (b *Breaker) judgeError(ctx context.Context, err error) Outcome {
	if _, own := errors.AsType[*attemptTimeoutError](err); own {
		return Failure
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return Ignored
	}
	if b.cfg.classify == nil || err == errAborted { //nolint:errorlint // the very value
		return Failure
	}
	return b.classify(err)
}

// classify asks the user's classifier. A panic in it is logged and makes the
// outcome a failure; so does an outcome that does not exist.
func (b *Breaker) classify(err error) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			b.cfg.logger.Error("breaker: classifier panicked",
				slog.String("breaker", b.name), slog.String("panic", fmt.Sprint(v)))
			o = Failure
		}
	}()
	if o = b.cfg.classify(err); o > Busy {
		return Failure
	}
	return o
}
