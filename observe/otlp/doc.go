// Package otlp exports spans over OTLP/HTTP to an OpenTelemetry collector or
// any back end that speaks it.
//
// It is a module of its own, so that only those who import it compile the
// exporter:
//
//	exporter, err := otlp.Exporter(ctx)
//	...
//	telemetry, err := observe.New("cart", observe.WithSpanExporter(exporter))
//
// The environment says where spans go: OTEL_EXPORTER_OTLP_ENDPOINT (default
// http://localhost:4318), _HEADERS, _TIMEOUT (milliseconds, default 10000),
// _COMPRESSION, _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY and _PROTOCOL
// (http/protobuf or http/json), each also with _TRACES_ after OTLP for spans
// only. Values that cannot be used are errors, not guesses.
package otlp
