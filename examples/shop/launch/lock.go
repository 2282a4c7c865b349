package launch

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrLocked: another process has the lock.
var ErrLocked = errors.New("launch: locked by another process")

// Lock takes the lock in the named file, which is made if need be. The lock
// ends with unlock, which removes the file, or with the process, however that
// ends. If another process holds it the error is [ErrLocked].
func Lock(name string) (unlock func() error, err error) {
	// Those who only look whether it is held hold it for a moment, too.
	for range 10 {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("launch: lock: %w", err)
		}
		if tryLock(f) && isStill(f, name) {
			return func() error { return errors.Join(os.Remove(name), f.Close()) }, nil
		}
		f.Close()
		time.Sleep(10 * time.Millisecond)
	}
	return nil, ErrLocked
}

// isStill reports whether name leads to f: the holder before may have removed
// the file between our opening and locking it.
func isStill(f *os.File, name string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(ours, there)
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
