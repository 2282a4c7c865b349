//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package launch

import (
	"os"
	"syscall"
)

// Freeze stops a process where it stands, as a hang would; [Thaw] lets it go on.
func Freeze(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

// Thaw lets a frozen process go on. For one that runs it does nothing.
func Thaw(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// terminate asks p to end. A frozen process is woken to hear it.
func terminate(p *os.Process) error {
	err := p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT)
	return err
}

// tryLock takes the lock of f without waiting and reports whether it got it.
// The lock goes with the process, however that ends.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
