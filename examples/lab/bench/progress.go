package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows one line of state: rewritten in place on a terminal, and a
// line of its own now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration

	mu    sync.Mutex
	last  time.Time
	shown bool
}

// How often a line is shown.
const (
	terminalEvery = 100 * time.Millisecond
	plainEvery    = 2 * time.Second
)

const eraseLine = "\r\x1b[K"

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, terminal: isTerminal(w), every: plainEvery}
	if p.terminal {
		p.every = terminalEvery
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// tell shows a state, unless the one before was shown a moment ago.
func (p *progress) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) < p.every {
		return
	}
	p.last, p.shown = now, true
	text := fmt.Sprintf(format, args...)
	if p.terminal {
		fmt.Fprint(p.w, eraseLine, text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// clear takes the line off a terminal.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.shown {
		fmt.Fprint(p.w, eraseLine)
	}
}
