// Package observe sets up what shows what a service does: logs, metrics and
// traces, wired to each other once and to no global of any library.
//
// Each part is a package that can be used alone: observe/logs, observe/metrics,
// observe/traces, observe/admin for the listener that operators look at, and
// observe/otlp, a module of its own, for the export of spans. [New] makes the
// first three agree: one name for the service, one environment, and every lost
// log record and span counted in gabion_telemetry_dropped_total.
package observe
