package cache

import (
	"strings"
	"time"
)

// directives are those of Cache-Control, by their names in lower case.
type directives map[string]directive

type directive struct {
	arg     string
	unclear bool // it was there twice, and not the same
}

// maxSeconds is what larger numbers are taken for (RFC 9111, 1.2.2).
const maxSeconds = 1 << 31

// parseDirectives reads the values of the field Cache-Control. What is no
// directive is left out.
func parseDirectives(values []string) directives {
	if len(values) == 0 {
		return nil
	}
	d := directives{}
	for _, v := range values {
		for v != "" {
			var name, arg string
			name, arg, v = nextDirective(v)
			if name == "" {
				continue
			}
			before, again := d[name]
			d[name] = directive{arg: arg, unclear: again && (before.unclear || before.arg != arg)}
		}
	}
	return d
}

// nextDirective cuts the first directive off s. The name is empty if there is
// none before the next comma.
func nextDirective(s string) (name, arg, rest string) {
	i := strings.IndexAny(s, ",=")
	if i < 0 {
		return lower(s), "", ""
	}
	name = lower(s[:i])
	if s[i] == ',' {
		return name, "", s[i+1:]
	}
	s = strings.TrimLeft(s[i+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		arg, s = unquote(s[1:])
		_, rest, _ = strings.Cut(s, ",")
		return name, arg, rest
	}
	arg, rest, _ = strings.Cut(s, ",")
	return name, strings.TrimSpace(arg), rest
}

// unquote reads a quoted string whose first quote is gone already, and returns
// what follows it.
func unquote(s string) (text, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func (d directives) has(name string) bool {
	_, ok := d[name]
	return ok
}

// seconds returns the time that a directive gives. given reports whether the
// directive is there; if it is and cannot be understood, the time is zero, which
// is the careful reading of all of them but max-stale, where it allows nothing.
func (d directives) seconds(name string) (t time.Duration, given bool) {
	v, ok := d[name]
	if !ok || v.unclear {
		return 0, ok
	}
	return parseSeconds(v.arg), true
}

// parseSeconds reads a decimal number of seconds; what is none is zero.
func parseSeconds(s string) time.Duration {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = min(n*10+int(c-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second
}
