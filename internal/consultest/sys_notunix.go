//go:build !unix

package consultest

import (
	"errors"
	"os"
	"syscall"
)

// detached has nothing to set here.
func detached() *syscall.SysProcAttr { return nil }

// lockFile takes no lock here: two builders at once do the work twice.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }

func pause(*os.Process) error  { return errors.ErrUnsupported }
func resume(*os.Process) error { return errors.ErrUnsupported }
