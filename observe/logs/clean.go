package logs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabion-go/gabion/observe/internal/redact"
)

// add appends a in its clean form to attrs, whose keys it keeps distinct.
// Groups without a name are laid open; empty groups and attributes vanish.
func (s style) add(attrs []slog.Attr, a slog.Attr) []slog.Attr {
	value := a.Value.Resolve() // contains the panics of LogValue
	if a.Key == "" && value.Kind() == slog.KindAny && value.Any() == nil {
		return attrs
	}
	if value.Kind() == slog.KindGroup && a.Key == "" {
		for _, member := range value.Group() {
			attrs = s.add(attrs, member)
		}
		return attrs
	}
	if redact.Key(a.Key) {
		return put(attrs, slog.String(s.key(a.Key), redact.Mark))
	}
	key := a.Key
	if s == ecsStyle && isError(value) && (key == "err" || key == "error") {
		key = "error.message"
	}
	value = s.value(value)
	if value.Kind() == slog.KindGroup && len(value.Group()) == 0 {
		return attrs
	}
	return put(attrs, slog.Attr{Key: s.key(key), Value: value})
}

func isError(v slog.Value) bool {
	_, ok := v.Any().(error)
	return ok
}

// value returns v, which is resolved, in its clean form.
func (s style) value(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return s.text(v.String())
	case slog.KindGroup:
		var members []slog.Attr
		for _, m := range v.Group() {
			members = s.add(members, m)
		}
		return slog.GroupValue(members...)
	case slog.KindAny:
		return s.any(v.Any())
	}
	return v // numbers, booleans, times and durations hold no text
}

// any cleans values that slog has no kind for.
func (s style) any(v any) (clean slog.Value) {
	defer func() {
		if p := recover(); p != nil { // from Error or MarshalJSON
			clean = s.text(fmt.Sprintf("!PANIC: %T: %v", v, p))
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case error:
		return s.text(v.Error())
	case *url.URL:
		return s.text(redact.URL(v))
	case url.URL:
		return s.text(redact.URL(&v))
	case http.Header:
		return s.header(v)
	case *http.Cookie:
		return s.text(v.Name + "=" + redact.Mark)
	case http.Cookie:
		return s.text(v.Name + "=" + redact.Mark)
	case slog.Level:
		return s.text(v.String())
	}
	return s.json(v)
}

// header shows the fields that are known to be harmless.
func (s style) header(h http.Header) slog.Value {
	fields := make([]slog.Attr, 0, len(h))
	for name, values := range h {
		shown := redact.Mark
		if redact.Header(name) {
			shown = strings.Join(values, ", ")
		}
		fields = put(fields, slog.Attr{Key: s.key(name), Value: s.text(shown)})
	}
	sortAttrs(fields)
	return slog.GroupValue(fields...)
}

// json takes v through its JSON form, in which the members with secret names
// can be found whatever the type. What has no JSON form is named by its type:
// any other form of it could hold a secret.
func (s style) json(v any) slog.Value {
	tree, err := redact.JSON(v, plainText)
	if err != nil {
		return s.unprintable(v)
	}
	if text, ok := tree.(string); ok {
		return s.printable(text)
	}
	if s != textStyle {
		return slog.AnyValue(tree)
	}
	coded, err := json.Marshal(tree)
	if err != nil {
		return s.unprintable(v)
	}
	return s.printable(string(coded))
}

func (s style) unprintable(v any) slog.Value { return s.text(fmt.Sprintf("!UNPRINTABLE: %T", v)) }

// text returns text from outside as a value.
func (s style) text(text string) slog.Value { return s.printable(redact.Text(text)) }

// printable returns text as a value that the output shows on one line.
//
// Text that needs quotes goes to tint as bytes. Its path for strings would cut
// text at invalid UTF-8 without colour and, with colour, turn the quoted form
// of an escape back into the raw character; its path for bytes quotes.
func (s style) printable(text string) slog.Value {
	if s != textStyle {
		return slog.StringValue(plainText(text))
	}
	if needsQuotes(text) {
		return slog.AnyValue([]byte(text))
	}
	return slog.StringValue(text)
}

// message returns the message in a form that the output shows on one line.
func (s style) message(msg string) string {
	msg = redact.Text(msg)
	if s != textStyle {
		return plainText(msg)
	}
	for _, r := range msg {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			return strconv.Quote(msg)
		}
	}
	return msg
}

// key returns a key that the output shows on one line and without quotes.
func (s style) key(key string) string {
	if s != textStyle {
		return plainText(key)
	}
	return strings.Map(func(r rune) rune {
		if r == '\\' || r == utf8.RuneError || isUnquotable(r) {
			return '_'
		}
		return r
	}, key)
}

// plainText makes visible what JSON leaves raw or loses: DEL and the C1 control
// characters, to which terminals react, and bytes that are not UTF-8. The rest
// is left to the JSON encoder.
func plainText(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, isRawControl) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case isRawControl(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func isRawControl(r rune) bool { return r >= 0x7f && r <= 0x9f }

// needsQuotes reports whether tinted text must quote s.
func needsQuotes(s string) bool {
	return s == "" || !utf8.ValidString(s) || strings.IndexFunc(s, isUnquotable) >= 0
}

func isUnquotable(r rune) bool {
	return r == ' ' || r == '=' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r)
}
