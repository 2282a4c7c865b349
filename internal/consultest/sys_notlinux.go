//go:build !linux

package consultest

import "syscall"

// dependent has no means here to end the child with us; the test's cleanup
// does it.
func dependent() *syscall.SysProcAttr { return nil }
