package otlp

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxResponse is the longest response that is read, in bytes.
const maxResponse = 64 << 10

// retries of one batch stay within the 30 s that the SDK gives an export.
var retries = otlptracehttp.RetryConfig{
	Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: 20 * time.Second,
}

// Exporter returns an exporter for the endpoint that the environment names. It
// connects when the first spans come, so a collector that is down is no error
// here. Redirects are not followed: they could carry the headers, which often
// hold a key, to somebody else. ctx bounds the call of Exporter only. Shutdown
// closes the connections.
func Exporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	s, err := settingsFromEnv()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:       s.tls,
		TLSHandshakeTimeout:   5 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: s.timeout,
	}
	opts := []otlptracehttp.Option{
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: s.timeout, CheckRedirect: stay}),
		otlptracehttp.WithMaxResponseSize(maxResponse),
		otlptracehttp.WithRetry(retries),
	}
	if !s.hasEndpoint {
		opts = append(opts, otlptracehttp.WithEndpointURL("http://localhost:4318/v1/traces"))
	}
	e, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	return &exporter{SpanExporter: e, transport: transport}, nil
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// exporter closes its connections in the end.
type exporter struct {
	sdktrace.SpanExporter

	transport *http.Transport
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *exporter) Shutdown(ctx context.Context) error {
	defer e.transport.CloseIdleConnections()
	return e.SpanExporter.Shutdown(ctx)
}
