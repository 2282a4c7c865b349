// Package cors lets browsers call a service from pages of other origins, as far
// as its [Settings] say. The protocol is that of github.com/rs/cors; what is
// allowed is exact: an origin is one string of scheme, host and port, with no
// wildcard in it, and settings that would open a service to every page together
// with its users' credentials are errors.
//
// CORS tells browsers whose scripts may read a response. It does not keep
// requests away: a form on any page can still post to the service, with its
// user's cookies, and is served. Against that there is
// [net/http.CrossOriginProtection].
package cors
