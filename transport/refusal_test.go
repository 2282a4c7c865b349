package transport_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
	"github.com/gabion-go/gabion/transport/limit"
)

// clientRefusals are the ways in which a client refuses a call before anything is
// sent.
var clientRefusals = []struct {
	name   string
	refuse func(transport.ServiceState)
	want   error
}{
	{"breaker", func(s transport.ServiceState) { s.Breaker.Force(breaker.ModeOpen) }, breaker.ErrOpen},
	{"tripped", func(transport.ServiceState) {}, breaker.ErrOpen}, // by the first call
	{"bulkhead", func(s transport.ServiceState) {
		for s.Bulkhead.TryAcquireFor(limit.CriticalPlus) {
		}
	}, transport.ErrBulkheadFull},
}

// refusing returns a call that the client refuses.
func refusing(tb testing.TB, refuse func(transport.ServiceState), opts ...transport.ClientOption) func() error {
	tb.Helper()
	backend, err := static.New(map[string][]discovery.Instance{"pricing": {{ID: "p1", Service: "pricing", Addr: "127.0.0.1:1"}}})
	if err != nil {
		tb.Fatal(err)
	}
	trips := transport.WithPolicy(transport.Policy{Breaker: breaker.Settings{Consecutive: 1, OpenFor: time.Hour, MaxOpenFor: time.Hour}})
	c, err := transport.NewClient(backend, append(opts, trips)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Close()
		_ = backend.Close()
	})
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://pricing/v1/quote", nil)
	if err != nil {
		tb.Fatal(err)
	}
	call := func() error {
		resp, err := c.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		return err
	}
	_ = call() // nobody listens there, but now the client keeps state for it
	for _, s := range c.Services() {
		refuse(s)
	}
	return call
}

func observed(tb testing.TB) transport.ClientOption {
	tb.Helper()
	return transport.WithObserver(instrument.Client(telemetry(tb)))
}

// telemetry returns metrics, and traces of which none is sampled.
func telemetry(tb testing.TB) (*metrics.Metrics, *traces.Provider) {
	tb.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	p, err := traces.New("test", traces.WithExporter(tracetest.NewNoopExporter()),
		traces.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Shutdown(tb.Context()) })
	return m, p
}

func TestRefusalAllocations(t *testing.T) {
	for _, r := range clientRefusals {
		t.Run(r.name, func(t *testing.T) {
			call := refusing(t, r.refuse)
			if err := call(); !errors.Is(err, r.want) {
				t.Fatalf("got %v, want %v", err, r.want)
			}
			if n := testing.AllocsPerRun(1000, func() { _ = call() }); n > 2 {
				t.Errorf("%v allocations, want 2 at most: the error and its cause", n)
			}
		})
	}
}

// A refused call's memory is used again: nothing of it may show in the next.
func TestRefusedCallsLeaveNothingBehind(t *testing.T) {
	call := refusing(t, func(s transport.ServiceState) { s.Breaker.Force(breaker.ModeOpen) })
	first := call()
	for range 10 {
		err := call()
		if err == first || err.Error() != first.Error() { //nolint:errorlint // the very value
			t.Fatalf("got %v, want another error like %v", err, first)
		}
	}
}

// BenchmarkRefusal is a call that is refused: without an observer, and with
// metrics and traces of which none is sampled.
func BenchmarkRefusal(b *testing.B) {
	for _, r := range clientRefusals {
		b.Run(r.name, func(b *testing.B) { benchRefusal(b, refusing(b, r.refuse)) })
		b.Run(r.name+"/observed", func(b *testing.B) { benchRefusal(b, refusing(b, r.refuse, observed(b))) })
	}
}

func benchRefusal(b *testing.B, call func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if call() == nil {
			b.Fatal("not refused")
		}
	}
}
