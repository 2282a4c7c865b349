package traces

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxBatch is how many spans are exported at once.
const maxBatch = 512

// build makes the tracers: of the SDK if spans are recorded, or else of no
// cost.
func (p *Provider) build(c config, res *resource.Resource) {
	if c.exporter == nil && len(c.processors) == 0 || isDisabled(c.getenv) {
		p.tracers = passthrough{}
		p.stop = func(ctx context.Context) error { return shutdownUnused(ctx, c.exporter) }
		return
	}
	if c.sampler == nil {
		c.sampler = sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res), sdktrace.WithSampler(c.sampler), sdktrace.WithRawSpanLimits(limits),
	}
	for _, sp := range c.processors {
		opts = append(opts, sdktrace.WithSpanProcessor(sp))
	}
	if c.exporter != nil {
		p.batch = newBatcher(c)
		opts = append(opts, sdktrace.WithSpanProcessor(p.batch))
	}
	p.sdk = sdktrace.NewTracerProvider(opts...)
	p.loyal = isLoyal(c.sampler)
	p.tracers = p.sdk
	p.stop = p.sdk.Shutdown
}

// isLoyal reports whether a sampler records nothing below a span that was not
// sampled. A sampler tells no more of itself than its description.
func isLoyal(s sdktrace.Sampler) bool {
	d := s.Description()
	return strings.HasPrefix(d, "ParentBased{") &&
		strings.HasSuffix(d, ",remoteParentNotSampled:AlwaysOffSampler,"+
			"localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}")
}

// shutdownUnused shuts down an exporter that was given and is not used.
func shutdownUnused(ctx context.Context, e sdktrace.SpanExporter) error {
	if e == nil {
		return nil
	}
	return e.Shutdown(ctx)
}

// within runs f and returns its error, or that of ctx if that ends first; then
// f is left to itself. A panic of f is an error.
func within(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- contained(func() error { return f(ctx) }) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// contained runs f and returns its error, or its panic as one.
func contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// batcher bounds the spans that are under way to the exporter, and counts those
// that are lost. The SDK's batch processor does the batching; its queue never
// fills, because batcher holds back what has no place.
type batcher struct {
	sdktrace.SpanProcessor // the SDK's batch processor

	queue    int64
	underway atomic.Int64 // taken and neither exported nor lost
	stopped  atomic.Bool
	dropped  func(n int)
}

func newBatcher(c config) *batcher {
	b := &batcher{queue: int64(c.queue), dropped: c.dropped}
	e := &exporter{SpanExporter: c.exporter, batcher: b, log: c.log}
	b.SpanProcessor = sdktrace.NewBatchSpanProcessor(e,
		sdktrace.WithMaxQueueSize(c.queue), sdktrace.WithMaxExportBatchSize(min(c.queue, maxBatch)))
	return b
}

// OnEnd implements [sdktrace.SpanProcessor]. It never blocks.
func (b *batcher) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.stopped.Load() {
		b.dropped(1)
		return
	}
	if b.underway.Add(1) > b.queue {
		b.underway.Add(-1)
		b.dropped(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// Shutdown implements [sdktrace.SpanProcessor].
func (b *batcher) Shutdown(ctx context.Context) error {
	b.stopped.Store(true)
	return b.SpanProcessor.Shutdown(ctx)
}

// giveUp counts what is still under way as lost.
func (b *batcher) giveUp() {
	b.stopped.Store(true)
	if left := b.underway.Swap(0); left > 0 {
		b.dropped(int(left))
	}
}

// exporter cleans spans, contains the failures of the exporter inside, and
// tells the batcher what has become of the spans.
type exporter struct {
	sdktrace.SpanExporter

	batcher *batcher
	log     *slog.Logger
	failing bool // exports never run at the same time
}

// ExportSpans implements [sdktrace.SpanExporter]. It returns no error, which
// the SDK would write to a global handler.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := contained(func() error { return e.SpanExporter.ExportSpans(ctx, cleanSpans(spans)) })
	if e.batcher.underway.Add(-int64(len(spans))) < 0 {
		return nil // Shutdown gave up and has counted them
	}
	if err != nil {
		e.batcher.dropped(len(spans))
	}
	e.report(err)
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *exporter) Shutdown(ctx context.Context) error {
	return contained(func() error { return e.SpanExporter.Shutdown(ctx) })
}

// report logs changes between success and failure, not every failure.
func (e *exporter) report(err error) {
	switch {
	case err != nil && !e.failing:
		e.log.Warn("spans are lost: export fails", "err", errors.New(ErrorText(err)))
	case err == nil && e.failing:
		e.log.Info("spans are exported again")
	}
	e.failing = err != nil
}
