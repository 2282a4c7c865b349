// Package coalesce lets identical requests that are in flight at the same time
// share one call.
//
// A [Transport] is an [http.RoundTripper] around another. While a GET or HEAD is
// waiting for its answer, further requests that are identical do not go out:
// they wait for the same answer, and each gets a copy of its own.
//
// # What is identical
//
// Two requests share a call only if method, URL, Host and every header field
// are the same, Authorization and Cookie among them. Left out are only fields
// that cannot change an answer, those of tracing and of deadlines: see
// [Ignored]. What else tells callers apart, such as a value in their contexts,
// can be made part of a request's identity: [Settings.Identity].
//
// # What is shared
//
// A response is not shared, and every caller but the first makes a call of its
// own, if it
//
//   - sets a cookie, which must not become that of several sessions,
//   - says Cache-Control: no-store, or private to a request that carries neither
//     Authorization nor Cookie and may thus be told apart by other means,
//   - varies by a header field that is left out of the identity, or by *,
//   - is a stream, of events or parts, or switches protocols,
//   - has a body larger than [Settings.MaxBytes].
//
// If nobody else waits when a response's header comes, it goes to the only
// caller as it is: nothing is buffered, and requests from then on begin anew.
// If somebody does, the body is read to its end before anybody gets it.
//
// # Whose call it is
//
// The call carries the values of the first caller's context but is nobody's
// own: it ends when all its callers have left, and so has the latest of their
// deadlines. Errors are shared; but a caller whose deadline is later than the
// first one's does not share that its time has passed, and tries again. A panic
// of the inner RoundTripper unwinds each caller as a [*PanicError].
package coalesce
