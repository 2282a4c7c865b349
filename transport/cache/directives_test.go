package cache

import (
	"strings"
	"testing"
	"time"
)

func TestParseDirectives(t *testing.T) {
	d := parseDirectives([]string{` Max-Age = 60 , no-cache="a, b=\"c\"", ,=x, public`, `s-maxage="5"; x, foo=`, `private="open`})
	for name, want := range map[string]string{"max-age": "60", "no-cache": `a, b="c"`, "public": "", "s-maxage": "5", "foo": "", "private": "open"} {
		if got, ok := d[name]; !ok || got.arg != want {
			t.Errorf("%s: got %+v, %v, want %q", name, got, ok, want)
		}
	}
	if len(d) != 6 {
		t.Errorf("got %v", d)
	}
}

// Whatever a server or caller sends: nothing panics, and times are in bounds.
func FuzzParseDirectives(f *testing.F) {
	for _, s := range []string{"max-age=60, no-store", `no-cache="a, b", private`, `x="\`, "=,=", "max-age=99999999999999999999", "max-age=1,max-age=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := parseDirectives([]string{s})
		for name := range d {
			if name != strings.ToLower(strings.TrimSpace(name)) || name == "" || strings.ContainsAny(name, ",=") {
				t.Errorf("name %q of %q", name, s)
			}
			if v, given := d.seconds(name); !given || v < 0 || v > maxSeconds*time.Second {
				t.Errorf("%s of %q is %v", name, s, v)
			}
		}
		twice := parseDirectives([]string{s, s})
		if len(twice) != len(d) {
			t.Errorf("%q twice has %d directives, once %d", s, len(twice), len(d))
		}
	})
}
