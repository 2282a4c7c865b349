// Package health answers one question in three tenses: has the process started
// (startup), may traffic come (readiness), must the process be replaced
// (liveness). A [Checker] runs named checks, keeps their last results, and
// serves them to probes, to a service registry, and to metrics.
//
// # The three kinds
//
// A [Startup] check runs until it has passed, and then never again. A
// [Readiness] check says whether calls can be served; it may look at what the
// process depends on. A [Liveness] check says that only a restart helps.
//
// Liveness must depend on nothing outside the process. A liveness check that
// pings a database turns one database outage into a restart of every service
// that uses it, just when they should be waiting. That is why Readiness is the
// default kind, and Liveness has to be asked for by name.
//
// A readiness check on something that all instances share takes all of them
// out of traffic together. Where a service can answer something useful without
// that dependency, add the check with [WithDegradeOnly]: the status becomes
// "warn", and traffic keeps coming.
//
// # Probes are cheap
//
// The checks of one probe run in parallel under one deadline. A result serves
// every probe for a while ([WithCacheFor]), probes that come during a run share
// it, and a check is never run twice at once. A check that ignores its context
// is reported as failed when its time is over; no second run of it starts until
// the first has returned. So neither an eager prober nor a hanging dependency
// makes the process pile up work.
//
// Goroutines: a probe starts one for each check that it runs; it ends with the
// check. [Checker.Run] belongs to its caller. A Checker needs no Close.
package health
