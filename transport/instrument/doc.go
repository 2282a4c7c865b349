// Package instrument makes metrics and traces of what package transport does:
// it is the one place that knows both the transport and the libraries that
// observe it.
package instrument
