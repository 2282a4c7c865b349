// Package static is a registry that is written down: lists of addresses given
// in a URL or in code. Nothing registers; programs and tests may replace a
// list while it is watched.
package static
