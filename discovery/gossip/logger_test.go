package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, c := range []struct{ line, level, msg string }{
		{"[DEBUG] memberlist: a", "DEBUG", `"gossip: a"`},
		{"[INFO] memberlist: b", "DEBUG", `"gossip: b"`},
		{"[WARN] memberlist: c", "WARN", `"gossip: c"`},
		{"[WARN] memberlist: write udp: use of closed network connection", "DEBUG", `"gossip: write udp: use of closed network connection"`},
		{"[ERR] memberlist: d\x1b[31m\nlevel=ERROR", "WARN", `"gossip: d?[31m?level=ERROR"`},
		{"Err: e", "DEBUG", `"gossip: Err: e"`},
	} {
		out.Reset()
		l.Print(c.line)
		if got := out.String(); !strings.Contains(got, "level="+c.level) || !strings.Contains(got, "msg="+c.msg) {
			t.Errorf("%q became %q", c.line, got)
		}
	}
	out.Reset()
	for range 1000 {
		l.Print("[ERR] memberlist: flood")
	}
	if n := strings.Count(out.String(), "WARN"); n > 6 {
		t.Errorf("%d warnings from a flood", n)
	}
}
