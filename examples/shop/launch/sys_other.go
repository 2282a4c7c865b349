//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package launch

import (
	"errors"
	"os"
	"syscall"
)

func processAttr() *syscall.SysProcAttr { return nil }

// Freeze is not possible on this system.
func Freeze(int) error { return errors.ErrUnsupported }

// Thaw is not possible on this system.
func Thaw(int) error { return errors.ErrUnsupported }

// terminate kills: this system cannot ask a process to end.
func terminate(p *os.Process) error { return p.Kill() }

// tryLock always succeeds: without locks every run file looks abandoned.
func tryLock(*os.File) bool { return true }
