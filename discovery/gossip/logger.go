package gossip

import (
	"context"
	"log"
	"log/slog"
	"net"
	"strings"
	"unicode"

	"golang.org/x/time/rate"
)

// logWriter passes memberlist's log lines on to slog. What memberlist calls an
// error or a warning is a warning, at most one a second and five at once: a
// stranger who sends nonsense must not fill a disk. The rest is for debugging.
type logWriter struct {
	log      *slog.Logger
	warnings *rate.Limiter
}

// newLogger returns the logger that memberlist is given.
func newLogger(l *slog.Logger) *log.Logger {
	return log.New(&logWriter{log: l, warnings: rate.NewLimiter(1, 5)}, "", 0)
}

// Write takes one line such as "[WARN] memberlist: handler queue full".
func (w *logWriter) Write(p []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(p))
	if tag, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "] "); ok && tag != text {
		text = rest
		// A node that closes breaks off what it is sending: that is no news.
		closing := strings.Contains(rest, net.ErrClosed.Error())
		if (strings.HasPrefix(tag, "ERR") || tag == "WARN") && !closing && w.warnings.Allow() {
			level = slog.LevelWarn
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	w.log.Log(context.Background(), level, "gossip: "+clean(text))
	return len(p), nil
}

// clean makes text from the network fit for a log line.
func clean(s string) string {
	if len(s) > 512 {
		s = s[:512] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
