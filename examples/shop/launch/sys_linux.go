package launch

import "syscall"

// processAttr gives a process a group of its own, so that Ctrl-C reaches only
// the launcher, which then drains in order; and has the kernel kill it when
// the launcher dies without a word.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
