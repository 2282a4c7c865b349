// Package traces sets up OpenTelemetry tracing that cannot hurt the service it
// watches, and touches none of OpenTelemetry's globals.
//
// With an exporter, [New] builds an SDK provider: spans are sampled as
// OTEL_TRACES_SAMPLER says (default parentbased_always_on), limited in size,
// cleaned of secrets, and exported in batches from a bounded queue. When the
// queue is full or the exporter fails, spans are dropped and counted; serving
// never waits. [Provider.Shutdown] ends in time even if the exporter hangs.
//
// Without an exporter no span is recorded. A trace of a caller is passed on as
// it came, sampling decision included, and a request without one gets fresh
// ids, so that the logs of all services it reaches can still be joined.
//
// # Trust
//
// By default the callers of a service are trusted: their trace, sampling
// decision and baggage are adopted. At the edge of a system, where anybody may
// send headers, use [WithUntrustedPeers]: each request starts a new trace that
// links to the caller's. In both cases headers of unreasonable size or form are
// ignored.
//
// # Environment
//
// OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_TRACES_EXPORTER (none only), OTEL_TRACES_SAMPLER,
// OTEL_TRACES_SAMPLER_ARG and OTEL_PROPAGATORS are honoured, and by the SDK's
// batch processor, from the environment of the process only,
// OTEL_BSP_SCHEDULE_DELAY and OTEL_BSP_EXPORT_TIMEOUT.
package traces
