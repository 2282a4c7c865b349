package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows how far a run is: a line rewritten in place on a terminal, and
// a line now and then elsewhere. What is to be shown may come from a bubble of
// virtual time, so that only the goroutine which shows it reads the clock.
type progress struct {
	w        io.Writer
	name     string
	terminal bool
	start    time.Time
	state    atomic.Pointer[string]
	done     chan struct{}
	wg       sync.WaitGroup
}

// How often a line is shown.
const (
	terminalEvery = 200 * time.Millisecond
	plainEvery    = 5 * time.Second
)

const eraseLine = "\r\x1b[K"

// showProgress begins to show the progress of what name says.
func showProgress(w io.Writer, name string) *progress {
	p := &progress{w: w, name: name, terminal: isTerminal(w), start: time.Now(), done: make(chan struct{})}
	every := plainEvery
	if p.terminal {
		every = terminalEvery
	}
	p.wg.Go(func() { p.show(every) })
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

// tell says what there is to show. It is safe for concurrent use.
func (p *progress) tell(format string, args ...any) {
	p.state.Store(new(fmt.Sprintf(format, args...)))
}

func (p *progress) show(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
			p.line()
		}
	}
}

// line shows the present state.
func (p *progress) line() {
	state := p.state.Load()
	if state == nil {
		return
	}
	text := fmt.Sprintf("%s, %.0f s: %s", p.name, time.Since(p.start).Seconds(), *state)
	if p.terminal {
		fmt.Fprint(p.w, eraseLine, text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// stop shows no more, and takes the line off a terminal.
func (p *progress) stop() {
	close(p.done)
	p.wg.Wait()
	if p.terminal {
		fmt.Fprint(p.w, eraseLine)
	}
}
