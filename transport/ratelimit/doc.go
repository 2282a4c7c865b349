// Package ratelimit bounds how many requests a server takes in a time, from
// each client or from all together.
//
// A [Limiter] is made of a [Policy], which is plain data, and wraps handlers:
// one route, or all of a server. Whoever asks for more than the policy grants is
// refused with 429, a problem document and Retry-After, before any work; every
// response says in the fields RateLimit-Policy and RateLimit what is granted and
// what is left (draft-ietf-httpapi-ratelimit-headers-11).
//
// Who a client is decides a key. By default that is the address at the other end
// of the connection; [ClientIP] looks behind proxies that are known, and
// [WithKey] takes any function, such as one that names the authenticated
// subject. A header that callers can write what they like into is no key: they
// would be somebody else with every request.
//
// Memory is bounded whatever keys come: see [Policy]. Limits are local to the
// process; with n instances behind a balancer a client gets n times the policy.
//
// Package limit bounds how many requests are worked on at once, which is what
// protects a server from too much work. A rate limit is a promise about clients;
// it knows nothing of what a request costs.
package ratelimit
