// Package metrics counts what a service does and shows it to Prometheus.
//
// [New] registers one collector that holds everything: the HTTP durations of
// the OpenTelemetry semantic conventions and gabion's own series. What happens
// often (a request, an attempt) is pushed through a handle, [Client] or
// [Server], that allocates nothing once a combination of labels has been seen.
// What is a state (a breaker, an endpoint count, a limit) is pulled: Add
// functions take a read function that runs at scrape time, so a gauge is right
// when it is looked at and not only when it last changed.
//
// Every label has a bounded number of values, whatever strangers send: unknown
// HTTP methods become [Other], names beyond a limit become [Overflow] or
// [Other], and invalid UTF-8 never reaches a label.
//
// [NewRegistry] and [Handler] serve the result. A collector or read function
// that panics or hangs costs its own series and nothing else.
package metrics
