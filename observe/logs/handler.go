package logs

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// style is how keys and values must be prepared for the handler that writes.
type style uint8

const (
	jsonStyle style = iota
	ecsStyle
	textStyle
)

// handler cleans records and hands them to the handler that writes. It keeps
// attributes and groups itself, because only then can the trace ids stand at
// the top level and a key be written once.
type handler struct {
	out      slog.Handler
	style    style
	level    slog.Leveler
	constant []slog.Attr // clean attributes that start each record
	dropped  func(int)

	groups []group // open groups, the top level first; never changed in place
}

// group is an open group and its attributes, which are clean.
type group struct {
	name  string
	attrs []slog.Attr
}

// Enabled implements [slog.Handler].
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	next := *h
	next.groups = slices.Clone(h.groups)
	last := &next.groups[len(next.groups)-1]
	last.attrs = slices.Clone(last.attrs)
	for _, a := range attrs {
		last.attrs = h.style.add(last.attrs, a)
	}
	return &next
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.groups = append(slices.Clip(h.groups), group{name: h.style.key(name)})
	return &next
}

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.style.message(r.Message), r.PC)
	out.AddAttrs(h.constant...)
	ids := h.style.traceIDs(ctx)
	out.AddAttrs(ids...)
	out.AddAttrs(h.renamed(h.attrs(r), ids)...)
	err := h.out.Handle(ctx, out)
	if err != nil {
		h.dropped(1)
	}
	return err
}

// attrs returns the clean attributes of the top level, r's among them, with the
// open groups folded in.
func (h *handler) attrs(r slog.Record) []slog.Attr {
	last := len(h.groups) - 1
	attrs := slices.Clip(h.groups[last].attrs)
	if r.NumAttrs() > 0 {
		attrs = slices.Clone(attrs)
		r.Attrs(func(a slog.Attr) bool {
			attrs = h.style.add(attrs, a)
			return true
		})
	}
	for i := last - 1; i >= 0; i-- {
		outer := slices.Clone(h.groups[i].attrs)
		if len(attrs) > 0 {
			outer = put(outer, slog.Attr{Key: h.groups[i+1].name, Value: slog.GroupValue(attrs...)})
		}
		attrs = outer
	}
	return attrs
}

// renamed returns attrs without the keys that the record itself uses.
func (h *handler) renamed(attrs, ids []slog.Attr) []slog.Attr {
	taken := func(a slog.Attr) bool { return h.isTaken(a.Key, ids) }
	if !slices.ContainsFunc(attrs, taken) {
		return attrs
	}
	var out []slog.Attr
	for _, a := range attrs {
		if taken(a) {
			a.Key = "attr." + a.Key
		}
		out = put(out, a)
	}
	return out
}

// isTaken reports whether the record itself uses key at the top level.
func (h *handler) isTaken(key string, ids []slog.Attr) bool {
	for _, a := range ids {
		if key == a.Key {
			return true
		}
	}
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey:
		return h.style != textStyle
	case "@timestamp", "log.level", "message", "ecs.version", "service.name":
		return h.style == ecsStyle
	}
	return false
}

// traceIDs returns the ids of the span in ctx, if there is one.
func (s style) traceIDs(ctx context.Context) []slog.Attr {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	traceKey, spanKey := "trace_id", "span_id"
	if s == ecsStyle {
		traceKey, spanKey = "trace.id", "span.id"
	}
	return []slog.Attr{
		slog.String(traceKey, span.TraceID().String()),
		slog.String(spanKey, span.SpanID().String()),
	}
}

// put appends a, or lets it take the place of an attribute with the same key;
// two groups become one.
func put(attrs []slog.Attr, a slog.Attr) []slog.Attr {
	i := slices.IndexFunc(attrs, func(b slog.Attr) bool { return b.Key == a.Key })
	if i < 0 {
		return append(attrs, a)
	}
	if attrs[i].Value.Kind() == slog.KindGroup && a.Value.Kind() == slog.KindGroup {
		merged := slices.Clone(attrs[i].Value.Group())
		for _, member := range a.Value.Group() {
			merged = put(merged, member)
		}
		a.Value = slog.GroupValue(merged...)
	}
	attrs[i] = a
	return attrs
}

func levelName(v slog.Value) string { return strings.ToLower(v.String()) }

func sortAttrs(attrs []slog.Attr) {
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
}
