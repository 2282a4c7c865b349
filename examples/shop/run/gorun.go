package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// goRun is the "go run" that started this program, if one did. It hands Ctrl-C
// on but dies of SIGTERM without a word to its child (golang/go#40467), which
// would stay open for ever.
type goRun struct {
	pid    int
	ticker *time.Ticker // nil if there is nothing to watch
}

// watchGoRun returns the parent process if it is a "go run". Without /proc it
// cannot tell, and watches nothing.
func watchGoRun() *goRun {
	g := &goRun{pid: os.Getppid()}
	if isGoRun(g.pid) {
		g.ticker = time.NewTicker(200 * time.Millisecond)
	}
	return g
}

// poll returns a channel that says when to ask whether it is gone.
func (g *goRun) poll() <-chan time.Time {
	if g.ticker == nil {
		return nil
	}
	return g.ticker.C
}

// gone reports whether we have another parent by now.
func (g *goRun) gone() bool { return os.Getppid() != g.pid }

// stop ends the watch.
func (g *goRun) stop() {
	if g.ticker != nil {
		g.ticker.Stop()
		g.ticker = nil
	}
}

func isGoRun(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := strings.Split(string(line), "\x00")
	return len(args) > 1 && filepath.Base(args[0]) == "go" && args[1] == "run"
}
