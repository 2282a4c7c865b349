package logs

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/lmittmann/tint"
)

// Format is how records are written.
type Format string

// Formats.
const (
	Auto Format = "auto" // Tint on a terminal, JSON elsewhere
	JSON Format = "json" // one JSON object a line, keys as slog writes them
	ECS  Format = "ecs"  // one JSON object a line, keys of the Elastic Common Schema
	Tint Format = "tint" // text for people, in colour on a terminal
)

// An Option changes what [New] makes.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	format  Format
	level   slog.Level
	service string
	noColor bool
	dropped func(n int)

	// terminal says whether w is one; nil means look.
	terminal *bool
}

// WithFormat sets the format. Default [Auto].
func WithFormat(f Format) Option { return optionFunc(func(c *config) { c.format = f }) }

// WithLevel sets the level at the start. Default [slog.LevelInfo].
func WithLevel(l slog.Level) Option { return optionFunc(func(c *config) { c.level = l }) }

// WithService sets the service name that the [ECS] format puts on each record.
func WithService(name string) Option { return optionFunc(func(c *config) { c.service = name }) }

// WithColor sets whether records are coloured on a terminal. Default true;
// nothing is coloured elsewhere.
func WithColor(on bool) Option { return optionFunc(func(c *config) { c.noColor = !on }) }

// WithTerminal says whether the writer leads to a terminal. Default: it does if
// it is an [os.File] on a character device.
func WithTerminal(is bool) Option { return optionFunc(func(c *config) { c.terminal = &is }) }

// WithDropped sets a function that is told of records that could not be
// written. It must not log.
func WithDropped(f func(n int)) Option { return optionFunc(func(c *config) { c.dropped = f }) }

// New returns a logger that writes to w, one Write per record and never two at
// the same time, and the level, which may be changed at any time.
func New(w io.Writer, opts ...Option) (*slog.Logger, *slog.LevelVar) {
	c := config{format: Auto, dropped: func(int) {}}
	for _, o := range opts {
		o.apply(&c)
	}
	level := &slog.LevelVar{}
	level.Set(c.level)
	return slog.New(newHandler(w, c, level)), level
}

func newHandler(w io.Writer, c config, level slog.Leveler) *handler {
	terminal := isTerminal(w)
	if c.terminal != nil {
		terminal = *c.terminal
	}
	h := &handler{level: level, dropped: c.dropped, groups: []group{{}}}
	switch {
	case c.format == Tint, c.format != JSON && c.format != ECS && terminal:
		h.style = textStyle
		h.out = tint.NewTextHandler(w, &tint.Options{
			Level: slog.Level(math.MinInt), TimeFormat: "15:04:05.000", NoColor: c.noColor || !terminal,
		})
	case c.format == ECS:
		h.style = ecsStyle
		h.out = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(math.MinInt), ReplaceAttr: ecsField})
		h.constant = ecsConstant(c.service)
	default:
		h.style = jsonStyle
		h.out = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(math.MinInt)})
	}
	return h
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// ParseFormat reads a format; the empty string is [Auto].
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case "":
		return Auto, nil
	case Auto, JSON, ECS, Tint:
		return f, nil
	}
	return "", fmt.Errorf("logs: format %.40q: want auto, json, ecs or tint", s)
}

// ParseLevel reads a level such as debug, info, warn, error or info+2, in any
// case; the empty string is info.
func ParseLevel(s string) (slog.Level, error) {
	if s == "" {
		return slog.LevelInfo, nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("logs: level %.40q: want debug, info, warn or error, or one with an offset such as info+2", s)
	}
	return l, nil
}

// ecsVersion is the version of the Elastic Common Schema that is written.
const ecsVersion = "8.11.0"

func ecsConstant(service string) []slog.Attr {
	attrs := []slog.Attr{slog.String("ecs.version", ecsVersion)}
	if service != "" {
		attrs = append(attrs, slog.String("service.name", plainText(service)))
	}
	return attrs
}

// ecsField renames what slog itself writes. Attributes can have none of these
// keys at the top level: the handler renames them before.
func ecsField(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().UTC().Format(time.RFC3339Nano))
	case slog.LevelKey:
		return slog.String("log.level", levelName(a.Value))
	case slog.MessageKey:
		return slog.Attr{Key: "message", Value: a.Value}
	}
	return a
}
