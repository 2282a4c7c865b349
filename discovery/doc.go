// Package discovery answers who is there: which instances of a service run at
// this moment, and how a service becomes one of them.
//
// A [Registrar] announces an [Instance], a [Resolver] watches a service, a
// [Backend] does both. Backends live in packages of their own; [Openers] turns
// a URL such as consul://127.0.0.1:8500 into one. A [Directory] stands between
// a backend and its users: it watches each service once for the whole process
// and keeps the last good list while the registry is away. The package
// discoverytest holds what every backend must pass.
//
// Errors to ask for: [ErrBadName], [ErrUnknownScheme], [ErrReadOnly],
// [ErrClosed], [ErrVanished].
package discovery
