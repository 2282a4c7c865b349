package consultest

import "syscall"

// dependent ends the child with the thread that started it.
func dependent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
