package launch

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLine bounds what is kept of a line that does not end; a longer one is
// broken into lines of this length.
const maxLine = 256 << 10

// Output puts the lines of several processes onto one writer, each line whole
// and behind the name of who wrote it. It may be used by many goroutines.
type Output struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
	width int // of the longest name so far
	next  int // index of the next colour
}

// NewOutput returns an Output onto w. With color the names are coloured.
func NewOutput(w io.Writer, color bool) *Output {
	return &Output{w: w, color: color}
}

// palette holds ANSI colours that read on dark and on light ground.
var palette = []int{36, 33, 35, 32, 34, 96, 95, 92, 94, 93}

// Lines returns a writer whose lines carry name. Names line up if all of them
// are made before the first is used.
func (o *Output) Lines(name string) *Lines {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.width = max(o.width, len(name))
	l := &Lines{out: o, name: name, color: palette[o.next%len(palette)]}
	o.next++
	return l
}

// Print writes text as it is, between the lines of the processes.
func (o *Output) Print(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = io.WriteString(o.w, text) // nobody is left to tell
}

// Lines collects what one process writes into whole lines. A line appears once
// it ends or [Lines.Flush] is called.
type Lines struct {
	out   *Output
	name  string
	color int

	mu   sync.Mutex
	rest []byte // the line that has not ended yet
}

// Write takes any part of the text. It never fails: a process must not suffer
// because nobody reads its log.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	var whole [][]byte
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended && len(line) < maxLine {
			break
		}
		if len(line) > maxLine || !ended {
			line, rest = l.rest[:maxLine], l.rest[maxLine:]
		}
		whole = append(whole, line)
		l.rest = rest
	}
	l.print(whole...)
	l.rest = bytes.Clone(l.rest)
	return len(p), nil
}

// Printf writes one line of the launcher's own.
func (l *Lines) Printf(format string, args ...any) {
	_, _ = fmt.Fprintf(l, format+"\n", args...) // Write never fails
}

// Flush ends a line that its writer left unfinished.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.print(l.rest)
		l.rest = nil
	}
}

// print writes lines at once, the name before each.
func (l *Lines) print(lines ...[]byte) {
	o := l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	format := "%-*s | %s\n"
	if o.color {
		format = fmt.Sprintf("\x1b[%dm%%-*s |\x1b[0m %%s\n", l.color)
	}
	var text []byte
	for _, line := range lines {
		text = fmt.Appendf(text, format, o.width, l.name, bytes.TrimSuffix(line, []byte("\r")))
	}
	_, _ = o.w.Write(text) // nobody is left to tell
}
