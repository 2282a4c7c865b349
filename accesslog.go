package gabion

import (
	"context"
	"log/slog"

	"github.com/gabion-go/gabion/transport"
)

// accessLog writes one record a request: errors of the server as warnings, the
// rest only when debugging.
type accessLog struct{ log *slog.Logger }

func (accessLog) StartRequest(ctx context.Context, _ *transport.Request) context.Context { return ctx }

func (a accessLog) EndRequest(ctx context.Context, q *transport.Request) {
	level := slog.LevelDebug
	if q.Status >= 500 && q.Shed == "" {
		level = slog.LevelWarn
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", q.Method), slog.String("path", q.URL.Path), slog.String("route", q.Route),
		slog.Int("status", q.Status), slog.Duration("duration", q.Duration), slog.Int64("bytes", q.Bytes),
	}
	if q.Shed != "" {
		attrs = append(attrs, slog.String("shed", q.Shed))
	}
	a.log.LogAttrs(ctx, level, "request", attrs...)
}
