//go:build !unix

package transport

import "time"

// cpuTime returns zero: the processor time is not known here.
func cpuTime() time.Duration { return 0 }
