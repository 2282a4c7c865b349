package launch

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// spawner starts all processes from one operating system thread that lives as
// long as the launcher. Linux sends the parent-death signal when the thread
// that forked ends, not the process: golang/go#27505.
type spawner struct {
	cmds chan *exec.Cmd
	errs chan error
}

func newSpawner() *spawner {
	return &spawner{cmds: make(chan *exec.Cmd), errs: make(chan error)}
}

// start starts cmd. Only one call may run at a time.
func (s *spawner) start(cmd *exec.Cmd) error {
	s.cmds <- cmd
	return <-s.errs
}

// run serves start until close.
func (s *spawner) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the thread goes on
	for cmd := range s.cmds {
		s.errs <- cmd.Start()
	}
}

func (s *spawner) close() { close(s.cmds) }

// lifeline is a pipe that nobody writes to. The processes inherit its read
// end, which ends when the launcher, however it may die, is gone.
type lifeline struct{ r, w *os.File }

func newLifeline() (*lifeline, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	return &lifeline{r, w}, nil
}

func (l *lifeline) close() {
	l.r.Close()
	l.w.Close()
}
