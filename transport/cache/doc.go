// Package cache answers requests from stored responses by RFC 9111.
//
// A [Cache] is the store, and [Cache.Layer] puts it in front of any
// [http.RoundTripper]. It keeps to what servers say: a response is stored and
// used again only as far as its Cache-Control, Expires, Vary and validators
// allow. A gabion client uses it for the routes that ask for a cache:
//
//	responses, err := cache.New(cache.Settings{})
//	client, err := transport.NewClient(registry, transport.WithCache(responses.Layer), ...)
//
// What it does:
//
//   - freshness by s-maxage (shared), max-age and Expires, less the age that a
//     response comes with; by a tenth of its time since Last-Modified if
//     [Settings.Heuristic] says so;
//   - validation by ETag and Last-Modified: a 304 freshens what is stored, and
//     concerns the caller no further; no-cache and must-revalidate;
//   - stale-while-revalidate and stale-if-error (RFC 5861);
//   - the request's no-cache, no-store, max-age, min-fresh, max-stale and
//     only-if-cached;
//   - invalidation by writes that succeeded, of the URL written to and those that
//     Location and Content-Location name on the same host;
//   - Age and, by RFC 9211, Cache-Status on responses.
//
// GET is stored, and HEAD answered from it. Requests for a range, with a body or
// with preconditions other than If-None-Match and If-Modified-Since pass through,
// and a body is stored only when it was read to its end.
//
// # Whose responses
//
// A service makes calls for many users, so even the private cache, which is the
// default, is not one user's. Beyond RFC 9111, a response is given only to
// requests with the same Authorization and Cookie, whatever Vary says, and one
// that sets a cookie is never stored. What else tells users apart, such as a
// tenant's header, belongs in [Settings.Vary]. A shared cache ([Settings.Shared])
// stores nothing that is private, nor what was asked with Authorization unless
// the response is public, must-revalidate or has s-maxage; only responses that
// are public or have s-maxage are then given across credentials.
//
// # Bounds
//
// Entries are kept in an otter cache (github.com/maypok86/otter), bounded in
// bytes, which forgets what is least likely to be asked for again.
//
// Many requests for what is not stored are many calls: package coalesce beneath
// the cache makes them one, as a route with both does.
//
// # Metrics
//
// A cache is a [prometheus.Collector]: with registry.MustRegister(responses) it
// shows how many requests it has answered (gabion_cache_requests_total).
package cache
