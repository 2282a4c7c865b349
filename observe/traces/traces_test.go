package traces_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/traces"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

func env(pairs ...string) traces.Option {
	return traces.WithEnv(func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	})
}

func newProvider(t testing.TB, opts ...traces.Option) *traces.Provider {
	t.Helper()
	p, err := traces.New("cart", append([]traces.Option{env()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exporter calls a function for each batch.
type exporter struct {
	export   func(context.Context, []sdktrace.ReadOnlySpan) error
	shutdown func(context.Context) error
}

func (e exporter) ExportSpans(ctx context.Context, s []sdktrace.ReadOnlySpan) error {
	return e.export(ctx, s)
}

func (e exporter) Shutdown(ctx context.Context) error {
	if e.shutdown == nil {
		return nil
	}
	return e.shutdown(ctx)
}

func spans(p *traces.Provider, n int) {
	for range n {
		_, span := p.Tracer("test").Start(context.Background(), "op")
		span.End()
	}
}

func TestExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := tracetest.NewInMemoryExporter()
		var got tracetest.SpanStubs
		p := newProvider(t, traces.WithAttributes(attribute.String("service.version", "v1")),
			traces.WithExporter(exporter{export: func(ctx context.Context, s []sdktrace.ReadOnlySpan) error {
				defer func() { got = mem.GetSpans() }()
				return mem.ExportSpans(ctx, s)
			}}))
		spans(p, 3)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 {
			t.Fatalf("%d spans exported, want 3", len(got))
		}
		res := got[0].Resource.String()
		for _, want := range []string{"service.name=cart", "service.version=v1"} {
			if !strings.Contains(res, want) {
				t.Errorf("resource %s: want %s", res, want)
			}
		}
	})
}

// A back end that is slow or gone must not be felt: spans beyond the queue are
// dropped and counted, ending a span never waits (open-telemetry/opentelemetry-go#1490).
func TestHangingExporterLosesSpansOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hang := func(context.Context) error { <-release; return nil }
		dropped := 0
		p := newProvider(t, traces.WithQueueSize(100), traces.WithDropped(func(n int) { dropped += n }),
			traces.WithExporter(exporter{
				export:   func(ctx context.Context, _ []sdktrace.ReadOnlySpan) error { return hang(ctx) },
				shutdown: hang,
			}))
		start := time.Now()
		spans(p, 1000)
		if took := time.Since(start); took != 0 {
			t.Errorf("ending spans waited %v", took)
		}
		if dropped != 900 {
			t.Errorf("%d dropped, want 900", dropped)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v, want deadline exceeded", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Shutdown took %v, want at most 1 s", took)
		}
		if dropped != 1000 {
			t.Errorf("%d dropped after Shutdown, want all 1000", dropped)
		}
		spans(p, 1)
		if err := p.Shutdown(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second Shutdown: %v, want what the first returned", err)
		}
	})
}

func TestShutdownIsBoundedWithoutDeadline(t *testing.T) {
	for name, opt := range map[string]func(hang func(context.Context) error) []traces.Option{
		"in use": func(hang func(context.Context) error) []traces.Option {
			return []traces.Option{traces.WithExporter(exporter{shutdown: hang})}
		},
		"disabled": func(hang func(context.Context) error) []traces.Option {
			return []traces.Option{traces.WithExporter(exporter{shutdown: hang}), env("OTEL_SDK_DISABLED", "true")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				p := newProvider(t, opt(func(context.Context) error { <-release; return nil })...)
				start := time.Now()
				if err := p.Shutdown(context.Background()); err == nil {
					t.Error("Shutdown of a hanging exporter returns no error")
				}
				if took := time.Since(start); took != 5*time.Second {
					t.Errorf("Shutdown took %v, want 5 s", took)
				}
			})
		})
	}
}

func TestFailingExporterIsCountedAndLoggedOnce(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("post https://u:s3cret@otel: refused") },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				down, dropped := true, 0
				p := newProvider(t, traces.WithDropped(func(n int) { dropped += n }),
					traces.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					traces.WithExporter(exporter{
						export: func(context.Context, []sdktrace.ReadOnlySpan) error {
							if down {
								return fail()
							}
							return nil
						},
						shutdown: func(context.Context) error { panic("again") },
					}))
				for range 5 {
					spans(p, 10)
					time.Sleep(10 * time.Second)
				}
				synctest.Wait()
				down = false
				spans(p, 10)
				time.Sleep(10 * time.Second)
				if err := p.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "again") {
					t.Errorf("Shutdown: %v", err)
				}
				if dropped != 50 {
					t.Errorf("%d dropped, want 50", dropped)
				}
				if got := log.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "s3cret") {
					t.Errorf("log: %s", got)
				}
			})
		})
	}
}

func TestWithoutExporterTracesPassThrough(t *testing.T) {
	p := newProvider(t)
	if p.Recording() {
		t.Error("Recording() = true without exporter")
	}
	in := http.Header{"Traceparent": {parent}, "Tracestate": {"a=b"}, "Baggage": {"k=v"}}
	ctx, opts := p.Incoming(context.Background(), in)
	ctx, span := p.Tracer("test").Start(ctx, "op", opts...)
	defer span.End()
	if span.IsRecording() {
		t.Error("the span is recorded")
	}
	out := http.Header{}
	p.Outgoing(ctx, out)
	for key, want := range map[string]string{"Traceparent": parent, "Tracestate": "a=b", "Baggage": "k=v"} {
		if got := out.Get(key); got != want {
			t.Errorf("%s: %q, want it unchanged: %q", key, got, want)
		}
	}
}

func TestWithoutExporterRootsGetIDs(t *testing.T) {
	p := newProvider(t)
	seen := map[trace.TraceID]bool{}
	for range 1000 {
		ctx, span := p.Tracer("test").Start(context.Background(), "op")
		sc := span.SpanContext()
		if !sc.IsValid() || sc.IsSampled() || seen[sc.TraceID()] {
			t.Fatalf("span context %v: want fresh ids, not sampled", sc)
		}
		seen[sc.TraceID()] = true
		if _, child := p.Tracer("test").Start(ctx, "op"); child.SpanContext().TraceID() != sc.TraceID() {
			t.Fatal("a child is in another trace")
		}
	}
}

// A span of somebody else in ctx must not be ended by our caller's End.
func TestPassThroughDoesNotEndTheParent(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	ctx, theirs := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)).Tracer("x").Start(context.Background(), "theirs")
	_, ours := newProvider(t).Tracer("test").Start(ctx, "ours")
	ours.End()
	if len(rec.Ended()) != 0 {
		t.Error("ended")
	}
	theirs.End()
}

func TestUntrustedPeers(t *testing.T) {
	for name, recording := range map[string]bool{"recording": true, "passing through": false} {
		t.Run(name, func(t *testing.T) {
			rec := tracetest.NewSpanRecorder()
			opts := []traces.Option{traces.WithUntrustedPeers(true), traces.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))}
			if recording {
				opts[1] = traces.WithSampler(sdktrace.AlwaysSample())
				opts = append(opts, traces.WithSpanProcessor(rec))
			}
			p := newProvider(t, opts...)
			in := http.Header{"Traceparent": {parent}, "Baggage": {"k=v"}}
			ctx, start := p.Incoming(context.Background(), in)
			ctx, span := p.Tracer("test").Start(ctx, "op", start...)
			span.End()
			if got := span.SpanContext().TraceID().String(); got == traceID {
				t.Error("the trace of a stranger is adopted")
			}
			if n := baggage.FromContext(ctx).Len(); n != 0 {
				t.Errorf("%d members of baggage adopted", n)
			}
			if !recording {
				return
			}
			links := rec.Ended()[0].Links()
			if len(links) != 1 || links[0].SpanContext.TraceID().String() != traceID {
				t.Errorf("links %v, want one to the caller's trace", links)
			}
			if _, start := p.Incoming(context.Background(), http.Header{}); len(start) != 1 {
				t.Errorf("%d options without a remote trace, want a new root only", len(start))
			}
		})
	}
}

func TestStrangersDoNotForceSampling(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	p := newProvider(t, traces.WithSpanProcessor(rec), traces.WithUntrustedPeers(true),
		env("OTEL_TRACES_SAMPLER", "parentbased_always_off"))
	ctx, start := p.Incoming(context.Background(), http.Header{"Traceparent": {parent}})
	_, span := p.Tracer("test").Start(ctx, "op", start...)
	span.End()
	if span.IsRecording() || len(rec.Started()) != 0 {
		t.Error("recorded because a stranger said so")
	}
}

func TestTrustedParentDecides(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	p := newProvider(t, traces.WithSpanProcessor(rec), env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0"))
	ctx, start := p.Incoming(context.Background(), http.Header{"Traceparent": {parent}})
	_, span := p.Tracer("test").Start(ctx, "op", start...)
	span.End()
	spans(p, 10)
	if got := rec.Ended(); len(got) != 1 || got[0].Parent().SpanID().String() != spanID {
		t.Errorf("%d spans, want only the one with a sampled parent", len(got))
	}
}

func TestHostileHeaders(t *testing.T) {
	var handled []error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { handled = append(handled, err) }))
	t.Cleanup(func() { otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) })
	p := newProvider(t, env("OTEL_PROPAGATORS", "tracecontext,baggage,b3,b3multi,jaeger,xray,ottrace"))
	long := strings.Repeat("x", 1<<20)
	members := strings.TrimSuffix(strings.Repeat("k=v,", 2000), ",")
	for name, h := range map[string]http.Header{
		"long":            {"Traceparent": {parent + "-" + long}, "Baggage": {"k=" + long}, "Tracestate": {long}, "B3": {long}, "Uber-Trace-Id": {long}, "X-Amzn-Trace-Id": {long}},
		"two parents":     {"Traceparent": {parent, parent}},
		"bad hex":         {"Traceparent": {"00-" + strings.Repeat("g", 32) + "-" + spanID + "-01"}},
		"zeros":           {"Traceparent": {"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01"}},
		"control":         {"Traceparent": {"00-\x00\n"}, "Baggage": {"\x1b[31m=\n"}},
		"bad baggage":     {"Baggage": {"k"}},
		"many members":    {"Baggage": {members}},
		"many headers":    {"Baggage": strings.Split(members, ",")},
		"half of it good": {"Baggage": {"k=v", "\xff"}},
	} {
		ctx, _ := p.Incoming(context.Background(), h)
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
			t.Errorf("%s: adopted %v", name, sc)
		}
		if n := baggage.FromContext(ctx).Len(); n > 64 {
			t.Errorf("%s: %d members of baggage", name, n)
		}
	}
	if len(handled) > 0 {
		t.Errorf("errors for a global handler: %q", handled)
	}

	ctx, _ := p.Incoming(context.Background(), http.Header{"Traceparent": {parent}, "Tracestate": {"a=1", "b=2"}, "Baggage": {"k=v", "l=w"}})
	if got := trace.SpanContextFromContext(ctx).TraceState().String(); got != "a=1,b=2" {
		t.Errorf("tracestate in two headers: %q", got)
	}
	if n := baggage.FromContext(ctx).Len(); n != 2 {
		t.Errorf("baggage in two headers: %d members, want 2", n)
	}
	ctx, _ = p.Incoming(context.Background(), http.Header{"Traceparent": {parent}, "Tracestate": {long}})
	if sc := trace.SpanContextFromContext(ctx); !sc.IsValid() || sc.TraceState().Len() != 0 {
		t.Errorf("a bad tracestate: %v, want the trace without it", sc)
	}
}

func TestEnvironment(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	p := newProvider(t, traces.WithSpanProcessor(rec), env(
		"OTEL_SERVICE_NAME", "named", "OTEL_RESOURCE_ATTRIBUTES", "a=b%20c, service.name=lost,,d=",
		"OTEL_TRACES_SAMPLER", "always_on", "OTEL_PROPAGATORS", "b3"))
	ctx, span := p.Tracer("test").Start(context.Background(), "op")
	span.End()
	res := rec.Ended()[0].Resource()
	for key, want := range map[attribute.Key]string{"service.name": "named", "a": "b c", "d": ""} {
		if got, ok := res.Set().Value(key); !ok || got.AsString() != want {
			t.Errorf("resource %s = %q, want %q", key, got.AsString(), want)
		}
	}
	h := http.Header{}
	p.Outgoing(ctx, h)
	if h.Get("B3") == "" || h.Get("Traceparent") != "" {
		t.Errorf("headers %v, want b3 only", h)
	}
}

func TestBadEnvironment(t *testing.T) {
	_, err := traces.New("cart", traces.WithQueueSize(0), env(
		"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "NaN",
		"OTEL_PROPAGATORS", "morse", "OTEL_RESOURCE_ATTRIBUTES", "a=b,c,%=d=%zz"))
	for _, want := range []string{"queue size 0", "SAMPLER_ARG \"NaN\"", "morse", `"c": want key=value`, `"%=d=%zz"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	if _, err := traces.New("cart", env("OTEL_TRACES_SAMPLER", "sometimes")); err == nil || !strings.Contains(err.Error(), `"sometimes"`) {
		t.Errorf("unknown sampler: error %v", err)
	}
}

func TestDisabled(t *testing.T) {
	for _, pair := range [][2]string{{"OTEL_SDK_DISABLED", "TRUE"}, {"OTEL_TRACES_EXPORTER", "none"}} {
		closed := false
		p := newProvider(t, env(pair[0], pair[1]), traces.WithExporter(exporter{
			shutdown: func(context.Context) error { closed = true; return nil }}))
		if p.Recording() {
			t.Errorf("%s=%s: recording", pair[0], pair[1])
		}
		if err := p.Shutdown(t.Context()); err != nil || !closed {
			t.Errorf("%s=%s: Shutdown %v, exporter closed %v", pair[0], pair[1], err, closed)
		}
	}
}

func TestGlobalsAreLeftAlone(t *testing.T) {
	tp, prop := otel.GetTracerProvider(), otel.GetTextMapPropagator()
	p := newProvider(t, traces.WithExporter(tracetest.NewNoopExporter()))
	defer func() { _ = p.Shutdown(t.Context()) }()
	if otel.GetTracerProvider() != tp || otel.GetTextMapPropagator() != prop {
		t.Error("New changed a global of OpenTelemetry")
	}
}

func TestSpansAreLimitedAndClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text string
		var first sdktrace.ReadOnlySpan
		p := newProvider(t, traces.WithExporter(exporter{export: func(_ context.Context, all []sdktrace.ReadOnlySpan) error {
			first = all[0]
			text = fmt.Sprint(first.Name(), first.Status(), first.Attributes(), first.Events(), first.Links())
			return nil
		}}))
		ctx, span := p.Tracer("test").Start(context.Background(), "GET http://joe:s3cret@db/")
		for i := range 1000 {
			span.SetAttributes(attribute.String(fmt.Sprintf("a%d", i), strings.Repeat("x", 10000)))
			span.AddEvent("e", trace.WithAttributes(attribute.String("password", "s3cret")))
		}
		span.SetAttributes(attribute.StringSlice("a0", []string{"Bearer s3cret", "\xff"}),
			attribute.String("a1", "https://h/?api_key=s3cret"), attribute.StringSlice("http.request.header.authorization", []string{"s3cret"}))
		span.RecordError(errors.New("dial mysql://root:s3cret@db: no"))
		span.SetStatus(codes.Error, "password=s3cret")
		span.AddLink(trace.Link{SpanContext: trace.SpanContextFromContext(ctx), Attributes: []attribute.KeyValue{attribute.String("token", "s3cret")}})
		span.End()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "Bearer REDACTED") {
			t.Errorf("secret exported: %.2000s", text)
		}
		if n := len(first.Attributes()); n > 128 {
			t.Errorf("%d attributes", n)
		}
		if n := len(first.Events()); n > 128 {
			t.Errorf("%d events", n)
		}
		if len(text) > 128*5000 {
			t.Errorf("%d bytes in one span", len(text))
		}
	})
}

func TestRedact(t *testing.T) {
	u, _ := url.Parse("https://joe:s3cret@db/x?token=s3cret&a=1")
	if got, want := traces.Redact(u), "https://db/x?token=REDACTED&a=1"; got != want {
		t.Errorf("Redact = %q, want %q", got, want)
	}
	long := errors.New("amqp://u:s3cret@mq " + strings.Repeat("é", 1000))
	if got := traces.ErrorText(long); len(got) > 260 || strings.Contains(got, "s3cret") || !strings.HasPrefix(got, "amqp://REDACTED@mq é") {
		t.Errorf("ErrorText = %q", got)
	}
	if got := traces.ErrorText(nil); got != "" {
		t.Errorf("ErrorText(nil) = %q", got)
	}
}

func TestConcurrentUseAndShutdown(t *testing.T) {
	var mu sync.Mutex
	exported, dropped := 0, 0
	p := newProvider(t, traces.WithQueueSize(64),
		traces.WithDropped(func(n int) { mu.Lock(); dropped += n; mu.Unlock() }),
		traces.WithExporter(exporter{export: func(_ context.Context, s []sdktrace.ReadOnlySpan) error {
			mu.Lock()
			defer mu.Unlock()
			exported += len(s)
			return nil
		}}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { spans(p, 1000) })
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() {
			if err := p.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if exported+dropped != 8000 {
		t.Errorf("%d exported and %d dropped, want 8000 together", exported, dropped)
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add(parent, "a=b", "k=v;p=1", "0-1-1")
	f.Add("00--", ",,,=", "%zz=1,=", "\x00")
	p, err := traces.New("cart", env("OTEL_PROPAGATORS", "tracecontext,baggage,b3,b3multi,jaeger,xray,ottrace"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tp, ts, bg, other string) {
		ctx, _ := p.Incoming(context.Background(), http.Header{
			"Traceparent": {tp}, "Tracestate": {ts, other}, "Baggage": {bg, other},
			"B3": {other}, "X-B3-Traceid": {other}, "Uber-Trace-Id": {other}, "X-Amzn-Trace-Id": {other},
		})
		ctx, span := p.Tracer("test").Start(ctx, "op")
		span.End()
		p.Outgoing(ctx, http.Header{})
	})
}

func BenchmarkStart(b *testing.B) {
	never, _ := traces.New("cart", env(), traces.WithSampler(sdktrace.NeverSample()), traces.WithSpanProcessor(tracetest.NewSpanRecorder()))
	through, _ := traces.New("cart", env())
	for name, p := range map[string]*traces.Provider{"passthrough": through, "sdk never": never} {
		b.Run(name, func(b *testing.B) {
			tracer := p.Tracer("test")
			h := http.Header{"Traceparent": {parent}}
			b.ReportAllocs()
			for b.Loop() {
				ctx, opts := p.Incoming(context.Background(), h)
				_, span := tracer.Start(ctx, "op", opts...)
				span.End()
			}
		})
	}
}
