// Package transport carries calls between services over HTTP.
//
// On the calling side a [Client] is an [http.RoundTripper] whose URLs name
// services instead of machines:
//
//	client := c.HTTPClient()
//	resp, err := client.Get("http://pricing/v1/quote")
//
// Every call walks the same path: it gets a deadline, a place in the service's
// bulkhead and the consent of the service's circuit breaker; then attempts are
// made, each on one endpoint that the balancer picks, until one succeeds or
// the retry policy, the retry budget or the deadline says stop. An attempt that
// is late may be hedged by another one beside it, if the policy says so, and the
// first success wins. Routes can have rules of their own ([Route]). The outcome is
// known when the response body has ended, and is recorded once, for the
// breaker, the balancer and the observer together.
//
// A URL whose host is an IP address, has a port or is a dotted domain name is
// not looked up: it is a single endpoint of its own under the same policy.
//
// The balancer can look at the request: a policy may send calls by header,
// cookie, query or a key of the caller's own ([WithHashKey]), keep the calls of
// a session at one endpoint, which the response then names, and send a share of
// the requests a second time to another version, whose answers a
// [ShadowObserver] hears of. See balance.Policy. An endpoint that leaves gets no
// new call; those in flight end as they would have, and its connections with
// them.
//
// A service may have a handler in the client's own process ([WithLocal]), which
// is an endpoint like others. Its weight says how many calls stay, and can be
// changed while they go on ([Client.SetLocalWeight]).
//
// When a service cannot answer, something else may: a function ([WithFallback])
// or what the policy says ([Fallback]): the last good response, another service,
// a value. Routes can let identical requests share one call, and be answered
// from a cache: see [Route] and [WithCache].
//
// On the serving side [NewServer] puts limits of time, size and concurrency
// around an [http.Handler], adopts the caller's deadline, contains panics and
// drains in order.
//
// # What is sent again
//
// A request that may be done twice, by its method or an Idempotency-Key, is sent
// again as the policy says; any other only if no server can have begun with it.
// When a server closes a connection on which a request has just gone out, nobody
// can tell whether it had: a POST without a key then fails with an [*Error] whose
// Sent is true. A server that drains before it stops, as [Server.Shutdown] does,
// does not do that, and over HTTP/2 it says which requests it has not begun.
//
// Nobody below the policy sends a request again. net/http, which would do so
// with a GET, HEAD, OPTIONS or TRACE whose pooled connection breaks before the
// answer begins, is kept from it: the attempt fails, and the policy says what
// comes next.
//
// # Live policies
//
// Policies change while calls are under way, from code ([Client.SetPolicy],
// [Client.SetPolicies]) or from a file or a store (package policysource), all or
// nothing: what is wrong is refused with the reasons, and the last good policies
// stay. A breaker, a throttle, a bulkhead, ejection and a server's limit can
// shadow, by the setting of that name: they decide and count, and refuse nothing.
// Package doctor finds settings that make no sense together.
//
// # Errors
//
// A call that brought no response fails with an [*Error]. It matches
// [ErrNoInstances], [ErrBulkheadFull], [ErrTimeout], [ErrAttemptTimeout],
// [ErrClosed], [ErrBodyTooLarge], [ErrHeaderTooLarge] or, from packages breaker and
// limit, ErrOpen or ErrThrottled with errors.Is, and says whether the request can
// have reached a server ([Error.Sent]). A call that brought a response, whatever
// its status, is not an error, as everywhere in net/http.
package transport
