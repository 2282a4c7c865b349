package launch

import (
	"fmt"
	"os"
	"syscall"
)

// describe says in a few words how a process ended. state is nil if it never
// began.
func describe(state *os.ProcessState) string {
	if state == nil {
		return "could not be started"
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("died of signal %d (%v)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Sprintf("exited with status %d", state.ExitCode())
}
