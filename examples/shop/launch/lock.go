package launch

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrLocked: another process has the lock.
var ErrLocked = errors.New("launch: locked by another process")

// Lock takes the lock in the named file, which is made if need be and never
// removed. The lock ends with unlock or with the process, however that ends. If
// another holds it the error is [ErrLocked].
func Lock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("launch: lock: %w", err)
	}
	if !lockSoon(f) {
		f.Close()
		return nil, ErrLocked
	}
	return f.Close, nil
}

// lockSoon is tryLock with patience for those who only look whether a launcher
// holds the lock.
func lockSoon(f *os.File) bool {
	for range 10 {
		if tryLock(f) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// locked reports whether a process holds the lock in the named file.
func locked(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return !tryLock(f)
}
