package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/observe/logs"
)

var formats = []logs.Format{logs.JSON, logs.ECS, logs.Tint}

// write returns what log writes in the format.
func write(f logs.Format, log func(*slog.Logger), opts ...logs.Option) string {
	var buf bytes.Buffer
	l, _ := logs.New(&buf, append([]logs.Option{logs.WithFormat(f)}, opts...)...)
	log(l)
	return buf.String()
}

// traced returns a context with a span whose ids are all a and all b.
func traced() context.Context {
	return trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(bytes.Repeat([]byte{0xaa}, 16)),
		SpanID:  trace.SpanID(bytes.Repeat([]byte{0xbb}, 8)),
	}))
}

func TestHandler(t *testing.T) {
	for _, f := range formats {
		t.Run(string(f), func(t *testing.T) {
			var buf bytes.Buffer
			slogtest.Run(t, func(*testing.T) slog.Handler {
				buf.Reset()
				l, _ := logs.New(&buf, logs.WithFormat(f))
				return l.Handler()
			}, func(t *testing.T) map[string]any {
				if f == logs.Tint {
					return parseText(t, buf.String())
				}
				return parseJSON(t, f, buf.Bytes())
			})
		})
	}
}

func parseJSON(t *testing.T, f logs.Format, line []byte) map[string]any {
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if f != logs.ECS {
		return m
	}
	for ecs, name := range map[string]string{"@timestamp": "time", "log.level": "level", "message": "msg"} {
		if v, ok := m[ecs]; ok {
			m[name] = v
		}
	}
	return m
}

// parseText reads `[15:04:05.000 ]INF message a=b g.c=d`.
func parseText(t *testing.T, line string) map[string]any {
	m := map[string]any{}
	words := strings.Fields(line)
	if strings.Contains(words[0], ":") {
		m["time"], words = words[0], words[1:]
	}
	m["level"], m["msg"] = words[0], words[1]
	for _, w := range words[2:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("no attribute: %q in %q", w, line)
		}
		in := m
		path := strings.Split(key, ".")
		for _, g := range path[:len(path)-1] {
			if in[g] == nil {
				in[g] = map[string]any{}
			}
			in = in[g].(map[string]any)
		}
		in[path[len(path)-1]] = value
	}
	return m
}

func TestTraceIDsStandOnceAtTheTop(t *testing.T) {
	for f, want := range map[logs.Format]string{
		logs.JSON: `"msg":"hi","trace_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","span_id":"bbbbbbbbbbbbbbbb","a":1,"g":{"b":2,"trace_id":"other"},"attr.trace_id":"mine"}`,
		logs.ECS:  `"message":"hi","ecs.version":"8.11.0","trace.id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","span.id":"bbbbbbbbbbbbbbbb","a":1,"g":{"b":2,"trace_id":"other"},"trace_id":"mine"}`,
		logs.Tint: `INF hi trace_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa span_id=bbbbbbbbbbbbbbbb a=1 g.b=2 g.trace_id=other attr.trace_id=mine`,
	} {
		got := write(f, func(l *slog.Logger) {
			l = l.With("a", 1, slog.Group("g", "x", 0), "trace_id", "mine").WithGroup("g")
			l.InfoContext(traced(), "hi", "b", 2, "trace_id", "other")
		})
		got = strings.Replace(strings.Replace(got, `"x":0,`, "", 1), "g.x=0 ", "", 1)
		if !strings.Contains(got, want) {
			t.Errorf("%s:\n%swant in it:\n%s", f, got, want)
		}
	}
}

func TestECS(t *testing.T) {
	got := write(logs.ECS, func(l *slog.Logger) {
		r := slog.NewRecord(time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600)), slog.LevelWarn, "down", 0)
		r.Add("err", errors.New("refused"), "message", "mine")
		_ = l.Handler().Handle(context.Background(), r)
	}, logs.WithService("cart"))
	want := `{"@timestamp":"2026-01-02T02:04:05.0000006Z","log.level":"warn","message":"down","ecs.version":"8.11.0","service.name":"cart","error.message":"refused","attr.message":"mine"}` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestKeysStandOnce(t *testing.T) {
	for name, test := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"in one call":     {func(l *slog.Logger) { l.Info("m", "a", 1, "b", 2, "a", 3) }, `"a":3,"b":2}`},
		"With and call":   {func(l *slog.Logger) { l.With("a", 1).Info("m", "a", 2) }, `"msg":"m","a":2}`},
		"same group":      {func(l *slog.Logger) { l.With(slog.Group("g", "a", 1)).WithGroup("g").Info("m", "b", 2) }, `"g":{"a":1,"b":2}}`},
		"value and group": {func(l *slog.Logger) { l.Info("m", "g", 1, slog.Group("g", "a", 2)) }, `"msg":"m","g":{"a":2}}`},
		"inline group":    {func(l *slog.Logger) { l.Info("m", "a", 1, slog.Group("", "a", 2)) }, `"msg":"m","a":2}`},
		"of the record":   {func(l *slog.Logger) { l.Info("m", "msg", 1, "attr.msg", 2, "level", 3, "time", 4) }, `"attr.msg":2,"attr.level":3,"attr.time":4}`},
	} {
		if got := write(logs.JSON, test.log); !strings.HasSuffix(got, test.want+"\n") {
			t.Errorf("%s: got %s, want at its end %s", name, got, test.want)
		}
	}
}

// Loggers made from one must not write into each other's attributes.
func TestWithDoesNotShare(t *testing.T) {
	got := write(logs.JSON, func(l *slog.Logger) {
		base := l.With("a", 1, "b", 2, "c", 3)
		x, y := base.With("x", 1), base.With("a", 9)
		g := base.WithGroup("g")
		g1, g2 := g.With("d", 1), g.With("d", 2)
		deep := slog.New(base.Handler()).WithGroup("p").WithGroup("q")
		d1, d2 := deep.WithGroup("r"), deep.WithGroup("s")
		base.Info("m", "a", 7)
		for _, l := range []*slog.Logger{base, x, y, g1, g2} {
			l.Info("m")
		}
		d1.Info("m", "d", 1)
		d2.Info("m", "d", 2)
	})
	var lines []string
	for line := range strings.Lines(got) {
		_, attrs, _ := strings.Cut(line, `"msg":"m",`)
		lines = append(lines, attrs)
	}
	want := `"a":7,"b":2,"c":3}
"a":1,"b":2,"c":3}
"a":1,"b":2,"c":3,"x":1}
"a":9,"b":2,"c":3}
"a":1,"b":2,"c":3,"g":{"d":1}}
"a":1,"b":2,"c":3,"g":{"d":2}}
"a":1,"b":2,"c":3,"p":{"q":{"r":{"d":1}}}}
"a":1,"b":2,"c":3,"p":{"q":{"s":{"d":2}}}}
`
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

type login struct {
	User     string
	Password string `json:"password"`
	Nested   map[string]any
}

type valuer struct{}

func (valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("token", "s3cret"), slog.String("a", "b"))
}

func TestSecretsAreMarked(t *testing.T) {
	u, _ := url.Parse("https://joe:s3cret@db/x?token=s3cret")
	h := http.Header{"Authorization": {"s3cret"}, "X-Custom": {"s3cret"}, "Content-Type": {"text/plain"}}
	for name, attr := range map[string]slog.Attr{
		"key":            slog.String("X-Consul-Token", "s3cret"),
		"number":         slog.Int("password", 123123),
		"group":          slog.Group("cookie", "a", "s3cret"),
		"inside a group": slog.Group("req", "authorization", "s3cret"),
		"url":            slog.Any("u", u),
		"url value":      slog.Any("u", *u),
		"url text":       slog.String("u", u.String()),
		"header":         slog.Any("h", h),
		"cookie":         slog.Any("c", &http.Cookie{Name: "sid", Value: "s3cret"}),
		"bearer":         slog.String("x", "Bearer s3cret"),
		"error":          slog.Any("err", errors.New("dial amqp://u:s3cret@mq: refused")),
		"struct":         slog.Any("login", login{"joe", "s3cret", map[string]any{"api_key": "s3cret", "l": []any{"Bearer s3cret"}}}),
		"pointer":        slog.Any("login", &login{Password: "s3cret"}),
		"valuer":         slog.Any("v", valuer{}),
		"request":        slog.Any("r", &http.Request{Header: h, GetBody: func() (io.ReadCloser, error) { return nil, nil }}),
	} {
		for _, f := range formats {
			got := write(f, func(l *slog.Logger) {
				l.Info("m", attr)
				l.With(attr).WithGroup("g").Info("m", attr)
			})
			if strings.Contains(got, "s3cret") || strings.Contains(got, "123123") {
				t.Errorf("%s, %s: secret in %s", f, name, got)
			}
		}
	}
	got := write(logs.JSON, func(l *slog.Logger) { l.Info("GET http://joe:s3cret@db failed", "h", h) })
	if strings.Contains(got, "s3cret") {
		t.Errorf("secret in %s", got)
	}
	if !strings.Contains(got, `"Content-Type":"text/plain"`) || !strings.Contains(got, `"X-Custom":"REDACTED"`) {
		t.Errorf("header: %s", got)
	}
}

var hostile = []string{
	"line\nfeed", "cr\rlf\r\n", "\x1b[31mred\x1b[0m", "\x00", "tab\t", "\x7f", "\u0085next", "\u009b31m",
	"\u2028", "\u202eabc", "\xff\xfe", "", " ", `\x1b[31m`, `a \x1b[31m`, `"quoted"`, "a=b", "日本 \n", `back\slash "`,
}

// assertOneLine fails if out is not one line free of control characters, but
// for the colours that tint itself writes.
func assertOneLine(t *testing.T, f logs.Format, in, out string) {
	t.Helper()
	body, ok := strings.CutSuffix(out, "\n")
	for _, color := range []string{"\x1b[0m", "\x1b[2m", "\x1b[92m", "\x1b[22m", "\x1b[0;2m"} {
		if f == logs.Tint {
			body = strings.ReplaceAll(body, color, "")
		}
	}
	if i := strings.IndexFunc(body, unicode.IsControl); !ok || i >= 0 {
		t.Errorf("%s: %q is written as %q", f, in, out)
	}
	if f != logs.Tint && !json.Valid([]byte(body)) {
		t.Errorf("%s: %q is no JSON: %q", f, in, out)
	}
}

func TestOneRecordIsOneLine(t *testing.T) {
	for _, f := range formats {
		for _, color := range []bool{false, true} {
			for _, s := range hostile {
				assertOneLine(t, f, s, write(f, func(l *slog.Logger) {
					l.WithGroup(s+"g").With(s, s).Info(s, s, s, "err", errors.New(s), "b", []byte(s),
						"any", map[string]any{s: s}, slog.Group(s, s, s))
				}, logs.WithTerminal(color)))
			}
		}
	}
}

// Without colour tint would show a value of invalid bytes as "" and cut others
// (lmittmann/tint#59, #87 are of the same kind).
func TestHostileTextIsShownQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"\xffoo":      `v="\xffoo"`,
		"\x1b[31mred": `v="\x1b[31mred"`,
		"a\nb":        `v="a\nb"`,
		"plain":       `v=plain`,
		"two words":   `v="two words"`,
	} {
		if got := write(logs.Tint, func(l *slog.Logger) { l.Info("m", "v", in) }); !strings.Contains(got, want+"\n") {
			t.Errorf("%q: got %q, want %s in it", in, got, want)
		}
	}
	if got := write(logs.Tint, func(l *slog.Logger) { l.Info("a\x1b[2J\nb") }); !strings.Contains(got, `INF "a\x1b[2J\nb"`) {
		t.Errorf("message: got %q", got)
	}
	if got := write(logs.JSON, func(l *slog.Logger) { l.Info("m", "v", "\xff\u009b") }); !strings.Contains(got, `"v":"\\xff\\u009b"`) {
		t.Errorf("JSON: got %q", got)
	}
}

type panics struct{}

func (panics) Error() string { panic("boom") }

type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

func TestOddValues(t *testing.T) {
	var nilURL *url.URL
	for want, v := range map[string]any{
		`"v":null`:                             nil,
		`"v":"!PANIC: logs_test.panics: boom"`: panics{},
		`"v":"!UNPRINTABLE: logs_test.broken"`: broken{},
		`"v":"!UNPRINTABLE: chan int"`:         make(chan int),
		`"v":""`:                               nilURL,
		`"v":"127.0.0.1:80"`:                   netip.MustParseAddrPort("127.0.0.1:80"),
		`"v":{"a":[1.50,true,null]}`:           json.RawMessage(`{"a":[1.50,true,null]}`),
		`"v":1500000000`:                       1500 * time.Millisecond,
		`"v":[1,2]`:                            []int{1, 2},
		`"v":{"token":"REDACTED","a":"b"}`:     valuer{},
		`"v":"2026-01-02T03:04:05Z"`:           time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		`"v":"WARN"`:                           slog.LevelWarn,
		`"v":9007199254740993`:                 uint64(9007199254740993),
		`"v":{"Big":9007199254740993}`:         struct{ Big uint64 }{9007199254740993},
		`"v":"a < b"`:                          "a < b",
	} {
		if got := write(logs.JSON, func(l *slog.Logger) { l.Info("m", "v", v) }); !strings.Contains(got, want) {
			t.Errorf("%T: got %s, want in it %s", v, got, want)
		}
	}
}

func TestColorOnlyOnATerminal(t *testing.T) {
	hello := func(l *slog.Logger) { l.Info("hello", "a", 1) }
	for name, test := range map[string]struct {
		opts        []logs.Option
		color, json bool
	}{
		"auto off a terminal":     {nil, false, true},
		"auto on a terminal":      {[]logs.Option{logs.WithTerminal(true)}, true, false},
		"no colour on a terminal": {[]logs.Option{logs.WithTerminal(true), logs.WithColor(false)}, false, false},
		"JSON on a terminal":      {[]logs.Option{logs.WithTerminal(true), logs.WithFormat(logs.JSON)}, false, true},
		"tint off a terminal":     {[]logs.Option{logs.WithFormat(logs.Tint)}, false, false},
	} {
		got := write(logs.Auto, hello, test.opts...)
		if color := strings.Contains(got, "\x1b"); color != test.color {
			t.Errorf("%s: colour %v, want %v: %q", name, color, test.color, got)
		}
		if isJSON := json.Valid([]byte(got)); isJSON != test.json {
			t.Errorf("%s: JSON %v, want %v: %q", name, isJSON, test.json, got)
		}
	}
}

func TestFileIsNoTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, _ := logs.New(f)
	l.Info("hello")
	got, err := os.ReadFile(path)
	if err != nil || !json.Valid(got) {
		t.Errorf("file holds %q, %v; want JSON", got, err)
	}
}

func TestLevelChangesWhileRunning(t *testing.T) {
	var buf bytes.Buffer
	l, level := logs.New(&buf, logs.WithLevel(slog.LevelWarn))
	child := l.With("a", 1).WithGroup("g")
	child.Info("one")
	level.Set(slog.LevelDebug)
	child.Debug("two")
	level.Set(slog.LevelError)
	child.Warn("three")
	if got := buf.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "two") {
		t.Errorf("got %q, want only two", got)
	}
}

func TestDisabledDoesNotAllocate(t *testing.T) {
	for _, f := range formats {
		l, _ := logs.New(io.Discard, logs.WithFormat(f))
		l = l.With("a", 1).WithGroup("g")
		ctx := traced()
		if n := testing.AllocsPerRun(100, func() {
			l.LogAttrs(ctx, slog.LevelDebug, "m", slog.String("a", "b"), slog.Int("n", 1))
		}); n != 0 {
			t.Errorf("%s: %v allocations", f, n)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestDroppedRecordsAreCounted(t *testing.T) {
	for _, f := range formats {
		dropped := 0
		l, _ := logs.New(failingWriter{}, logs.WithFormat(f), logs.WithDropped(func(n int) { dropped += n }))
		l.Info("a")
		l.With("b", 1).Info("b")
		if dropped != 2 {
			t.Errorf("%s: %d dropped, want 2", f, dropped)
		}
	}
}

// syncWriter fails the test if two writes overlap.
type syncWriter struct {
	t     *testing.T
	mu    sync.Mutex
	lines int
}

func (w *syncWriter) Write(p []byte) (int, error) {
	if !w.mu.TryLock() {
		w.t.Error("two writes at once")
		return len(p), nil
	}
	defer w.mu.Unlock()
	w.lines++
	return len(p), nil
}

func TestConcurrentUse(t *testing.T) {
	for _, f := range formats {
		w := &syncWriter{t: t}
		l, _ := logs.New(w, logs.WithFormat(f))
		l = l.With("a", 1, "b", 2)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 50 {
					l.With("c", i).Info("m", "b", i, "d", i)
				}
			})
		}
		wg.Wait()
		if w.lines != 400 {
			t.Errorf("%s: %d lines, want 400", f, w.lines)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == key {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	opts, err := logs.FromEnv(env("GABION_LOG", "DEBUG", "GABION_LOG_FORMAT", "ecs"))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	l, level := logs.New(&buf, opts...)
	l.Debug("m")
	if !strings.Contains(buf.String(), `"log.level":"debug"`) || level.Level() != slog.LevelDebug {
		t.Errorf("got %q at level %v", buf.String(), level)
	}

	opts, err = logs.FromEnv(env("NO_COLOR", "1", "GABION_LOG_FORMAT", "tint"))
	if got := write(logs.Auto, func(l *slog.Logger) { l.Info("m") }, append(opts, logs.WithTerminal(true))...); err != nil || strings.Contains(got, "\x1b") {
		t.Errorf("NO_COLOR: got %q, %v", got, err)
	}

	opts, err = logs.FromEnv(env("GABION_LOG", "loud", "GABION_LOG_FORMAT", "xml"))
	for _, want := range []string{`GABION_LOG: logs: level "loud": want debug`, `GABION_LOG_FORMAT: logs: format "xml": want auto, json, ecs or tint`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bad values: error %v, want in it %s", err, want)
		}
	}
	if got := write(logs.Auto, func(l *slog.Logger) { l.Info("m") }, opts...); !json.Valid([]byte(got)) {
		t.Errorf("options next to an error: got %q", got)
	}
}

func FuzzOneLine(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s, s)
	}
	f.Add("Bearer x", "password", "http://a:b@c")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		for _, format := range formats {
			out := write(format, func(l *slog.Logger) {
				l.With(key, value).WithGroup(value).Info(msg, key, value, value, key, "any", []string{value}, "err", errors.New(value))
			}, logs.WithTerminal(len(msg)%2 == 0))
			assertOneLine(t, format, msg, out)
			if format != logs.Tint {
				assertKeysDistinct(t, out)
			}
		}
	})
}

// assertKeysDistinct fails if an object of the JSON line has a key twice.
func assertKeysDistinct(t *testing.T, line string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(line))
	var value func()
	value = func() {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		delim, _ := tok.(json.Delim)
		seen := map[any]bool{}
		for delim != 0 && dec.More() {
			if delim == '{' {
				key, _ := dec.Token()
				if seen[key] {
					t.Errorf("key %q twice in %s", key, line)
				}
				seen[key] = true
			}
			value()
		}
		if delim != 0 {
			_, _ = dec.Token()
		}
	}
	value()
}

func BenchmarkInfo(b *testing.B) {
	for _, f := range formats {
		b.Run(string(f), func(b *testing.B) {
			l, _ := logs.New(io.Discard, logs.WithFormat(f))
			l = l.With("service", "cart")
			ctx := traced()
			b.ReportAllocs()
			for b.Loop() {
				l.LogAttrs(ctx, slog.LevelInfo, "request served", slog.String("route", "GET /carts/{id}"),
					slog.Int("status", 200), slog.Duration("took", time.Millisecond))
			}
		})
	}
}
