// Package admin serves what operators need to see of a running service: health,
// metrics, state, profiles and the log level, with a page at / that lists them.
//
// It belongs on a listener of its own, on loopback unless told otherwise: it
// has no authentication. A request whose Host header is neither an IP address
// nor a loopback nor a configured name is refused, so that a web page cannot
// reach it through a name that it controls (DNS rebinding), and so is a
// cross-origin request that changes something.
//
// Profiles come from runtime/pprof: importing net/http/pprof would put handlers
// on [http.DefaultServeMux], for all servers of the process that use it.
package admin
