// Package retry decides whether, when and how often a call is tried again. It
// sends nothing itself: a client asks it between attempts.
//
//   - [Policy] is the plain settings: attempts, backoff, statuses, replay size.
//   - [Idempotent] tells whether a request may be sent twice at all.
//   - [ParseRetryAfter] and [JitterUp] obey a server that names a time.
//   - [Budget] bounds what all calls of one service may spend on extra
//     attempts. It is funded by successes, so it runs dry when the service is
//     down and lets retries end instead of keeping the service down.
//   - [Hedge] is the settings of hedging, and a [Hedger] measures when a call is
//     late and bounds how many hedges there are.
//
// Nothing here starts a goroutine; every type is safe for concurrent use.
package retry
