//go:build linux || darwin || freebsd || dragonfly

package health

import "syscall"

// diskFree returns the bytes that unprivileged users may still write.
func diskFree(path string) (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, err
	}
	if int64(fs.Bavail) < 0 { // FreeBSD counts the reserve as negative
		return 0, nil
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), nil //nolint:unconvert // types differ by system
}
