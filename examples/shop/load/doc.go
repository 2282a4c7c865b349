// Package load is the shop's load generator. Visitors browse and buy through
// the storefront's JSON API; the calls start when the clock says so and never
// wait for a slow answer (an open loop), and each latency counts from the
// intended start, so that a stall is not hidden by the calls it kept back.
//
// While it measures it verifies: no idempotency key may yield two orders, no
// two keys the same order, and what the shop has acknowledged must be there
// when it is read. Whatever breaks this is a violation.
package load
