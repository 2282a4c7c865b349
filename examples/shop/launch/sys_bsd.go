//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package launch

import "syscall"

// processAttr gives a process a group of its own, so that Ctrl-C reaches only
// the launcher, which then drains in order. Should the launcher die without a
// word, the end of the lifeline tells the process.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
