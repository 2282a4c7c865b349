package requestid

import (
	"context"
	"log/slog"
	"slices"
)

// Key is the attribute under which [LogHandler] puts the id.
const Key = "request_id"

// LogHandler returns a handler that puts the id of a record's context on the
// record, at the top level whatever groups are open, and hands it to next.
func LogHandler(next slog.Handler) slog.Handler {
	return &logHandler{Handler: next, root: next}
}

// logHandler remembers what has been done since the first group was opened, as
// only before that an attribute can still be put at the top level.
type logHandler struct {
	slog.Handler
	root  slog.Handler // without what is in later
	later []func(slog.Handler) slog.Handler
}

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.later) == 0 {
		return LogHandler(h.Handler.WithAttrs(attrs))
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) with(do func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{Handler: do(h.Handler), root: h.root, later: append(slices.Clip(h.later), do)}
}

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	id := FromContext(ctx)
	if id == "" {
		return h.Handler.Handle(ctx, r)
	}
	if len(h.later) == 0 {
		r = r.Clone()
		r.AddAttrs(slog.String(Key, id))
		return h.Handler.Handle(ctx, r)
	}
	next := h.root.WithAttrs([]slog.Attr{slog.String(Key, id)})
	for _, do := range h.later {
		next = do(next)
	}
	return next.Handle(ctx, r)
}
