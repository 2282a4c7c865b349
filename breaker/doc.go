// Package breaker stops calls to a dependency that is down, so that callers
// degrade at once and the dependency gets room to recover.
//
// A [Breaker] counts the outcomes of calls in a rolling window. When too many
// fail it opens and refuses calls for a while, then lets single probes through
// (half-open), closes when they succeed, and lets traffic come back gradually:
//
//	b, err := breaker.New("stock")
//	...
//	v, err := breaker.Do(ctx, b, func(ctx context.Context) (Quote, error) {
//		return fetch(ctx)
//	})
//
// Code that cannot be a closure uses [Breaker.Allow] and [Permit.Done]. A
// [Group] keeps one breaker for each key, a [Fallback] answers in place of a
// call that was refused or failed.
//
// The window and every change of state are those of
// [github.com/sony/gobreaker/v2]. This package adds what a fleet needs around
// them: probes that hold a lease and cannot wedge the circuit, an open period
// that grows and is jittered, a ramp after closing, outcomes that know the
// caller's cancellation from the dependency's failure, permits that count once,
// and state changes that are reported in order and outside every lock.
//
// Settings can be changed while calls are under way: see [Breaker.Update]. With
// [Settings].Shadow a breaker only tells what it would do.
//
// # What counts
//
// A call counts when it ends, in the bucket of that moment. Unless a classifier
// says otherwise (see [WithClassifier]) an error is a failure, but:
//
//   - an error that comes after the caller's context is done, cancelled or
//     expired, counts neither way: it says nothing about the dependency;
//   - so does an error that is [context.Canceled];
//   - a [context.DeadlineExceeded] while the caller's context is still good is
//     the guarded code's own time limit and a failure. Hence bound attempts
//     inside the guarded function, not before it; [AttemptTimeout] marks a
//     timeout as a failure when the caller's context may have ended meanwhile;
//   - what a classifier calls [Busy], a dependency that sheds load, is a failure
//     only when it serves nobody any more;
//   - a panic and a [runtime.Goexit] are failures. Both go on unwinding, with
//     the panic value as it was.
//
// # Errors
//
// [ErrOpen] matches every refusal; [*RejectedError] has its details.
// [ErrFallbackBusy] says that a fallback was needed and had no place left.
//
// A Breaker has no goroutine of its own and needs no Close. While it is open or a
// probe is under way it has one timer pending, which ends by itself.
package breaker
