package launch

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for name, tc := range map[string]struct {
		color  bool
		writes []string
		want   string
	}{
		"whole line":              {writes: []string{"hello\n"}, want: "cart-1 | hello\n"},
		"line in parts":           {writes: []string{"he", "llo", "\nwor"}, want: "cart-1 | hello\ncart-1 | wor\n"},
		"several in one write":    {writes: []string{"a\nb\n\nc"}, want: "cart-1 | a\ncart-1 | b\ncart-1 | \ncart-1 | c\n"},
		"carriage return":         {writes: []string{"a\r\n"}, want: "cart-1 | a\n"},
		"nothing":                 {writes: []string{""}, want: ""},
		"line without end":        {writes: []string{long, "y\n"}, want: "cart-1 | " + long + "\ncart-1 | y\n"},
		"colour on the name only": {color: true, writes: []string{"a\n"}, want: "\x1b[36mcart-1 |\x1b[0m a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			l := NewOutput(&buf, tc.color).Lines("cart-1")
			for _, w := range tc.writes {
				if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			l.Flush()
			if got := buf.String(); got != tc.want {
				t.Errorf("got %.200q, want %.200q", got, tc.want)
			}
		})
	}
}

func TestLinesWaitForTheirEnd(t *testing.T) {
	var buf bytes.Buffer
	out := NewOutput(&buf, false)
	a, b := out.Lines("a"), out.Lines("long-name")
	a.Write([]byte("first half, "))
	b.Write([]byte("other\n"))
	a.Write([]byte("second half\n"))
	if got, want := buf.String(), "long-name | other\na         | first half, second half\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinesOfManyNeverMix(t *testing.T) {
	var buf bytes.Buffer
	out := NewOutput(&buf, false)
	var wg sync.WaitGroup
	for i := range 8 {
		l := out.Lines(fmt.Sprint("p", i))
		text := strings.Repeat(fmt.Sprint(i), 50)
		wg.Go(func() {
			for range 100 {
				l.Write([]byte(text[:20]))
				l.Write([]byte(text[20:] + "\n"))
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
	if len(lines) != 800 {
		t.Errorf("%d lines, want 800", len(lines))
	}
	for _, line := range lines {
		name, text, _ := strings.Cut(line, " | ")
		if want := strings.Repeat(strings.TrimPrefix(name, "p"), 50); text != want {
			t.Fatalf("mixed line %q", line)
		}
	}
}
