package traces_test

import (
	"context"
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/traces"
)

// FuzzTraceparent holds the short way of reading and writing trace context to
// what the propagator does.
func FuzzTraceparent(f *testing.F) {
	for _, value := range []string{
		parent,
		parent[:53] + "00",
		parent[:53] + "03",
		parent[:53] + "04",
		parent[:53] + "ff",
		"01" + parent[2:],
		"ff" + parent[2:],
		parent + "-more",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
		"",
	} {
		f.Add(value, "")
		f.Add(value, "a=1")
	}
	p := newProvider(f)
	f.Fuzz(func(t *testing.T, value, state string) {
		in := http.Header{"Traceparent": {value}}
		if state != "" {
			in["Tracestate"] = []string{state}
		}
		ctx, _ := p.Incoming(context.Background(), in)
		want := p.Propagator().Extract(context.Background(), propagation.HeaderCarrier(in))
		got := trace.SpanContextFromContext(ctx)
		if !got.Equal(trace.SpanContextFromContext(want)) {
			t.Fatalf("%q: got %v, want %v", value, got, trace.SpanContextFromContext(want))
		}
		out, wantOut := http.Header{}, http.Header{}
		p.Outgoing(ctx, out)
		p.Propagator().Inject(want, propagation.HeaderCarrier(wantOut))
		if out.Get("Traceparent") != wantOut.Get("Traceparent") || out.Get("Tracestate") != wantOut.Get("Tracestate") {
			t.Fatalf("%q: sends %v, want %v", value, out, wantOut)
		}
	})
}

func TestBaggageTravelsWithTraceparent(t *testing.T) {
	p := newProvider(t)
	in := http.Header{"Traceparent": {parent}, "Baggage": {"tenant=north"}}
	ctx, _ := p.Incoming(t.Context(), in)
	if got := baggage.FromContext(ctx).Member("tenant").Value(); got != "north" {
		t.Errorf("came in: tenant %q, want north", got)
	}
	out := http.Header{}
	p.Outgoing(ctx, out)
	if out.Get("Baggage") != "tenant=north" || out.Get("Traceparent") != parent {
		t.Errorf("goes out: %v", out)
	}
}

func TestTwoTraceparentsAreNone(t *testing.T) {
	p := newProvider(t)
	ctx, _ := p.Incoming(t.Context(), http.Header{"Traceparent": {parent, parent}})
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		t.Errorf("adopted %v", sc)
	}
}

func TestUsualHeadersCostLittle(t *testing.T) {
	p := newProvider(t)
	in, out := http.Header{"Traceparent": {parent}}, http.Header{}
	ctx, _ := p.Incoming(t.Context(), in)
	base := t.Context()
	if n := testing.AllocsPerRun(100, func() { p.Incoming(base, in) }); n > 2 {
		t.Errorf("Incoming allocates %v times, want 2 at most: a span context and what carries it", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Outgoing(ctx, out) }); n > 2 {
		t.Errorf("Outgoing allocates %v times, want 2 at most: the header's value and its slice", n)
	}
}

func TestUnsampled(t *testing.T) {
	remote := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, Remote: true,
		}))
	}
	never, always := sdktrace.NeverSample(), sdktrace.AlwaysSample()
	for name, c := range map[string]struct {
		sampler sdktrace.Sampler // nil for nothing that records
		ctx     context.Context
		want    bool
	}{
		"no trace":                 {sdktrace.ParentBased(always), context.Background(), false},
		"unsampled":                {sdktrace.ParentBased(always), remote(0), true},
		"sampled":                  {sdktrace.ParentBased(always), remote(trace.FlagsSampled), false},
		"sampler of its own mind":  {always, remote(0), false},
		"never, but not by parent": {never, remote(0), false},
		"samples what callers do not": {
			sdktrace.ParentBased(never, sdktrace.WithRemoteParentNotSampled(always)), remote(0), false,
		},
		"records what it does not sample": {sdktrace.AlwaysRecord(sdktrace.ParentBased(never)), remote(0), false},
		"nothing is recorded":             {nil, remote(trace.FlagsSampled), true},
		"nothing is recorded, no trace":   {nil, context.Background(), false},
	} {
		t.Run(name, func(t *testing.T) {
			var opts []traces.Option
			if c.sampler != nil {
				opts = []traces.Option{traces.WithExporter(tracetest.NewNoopExporter()), traces.WithSampler(c.sampler)}
			}
			p := newProvider(t, opts...)
			if got := p.Unsampled(c.ctx); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if _, span := p.Tracer("test").Start(c.ctx, "below"); c.want && span.IsRecording() {
				t.Error("a span below is recorded")
			}
		})
	}
}
