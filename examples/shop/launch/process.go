package launch

import (
	"os"
	"strconv"
	"time"
)

// Process says what to run.
type Process struct {
	// Service and Replica, counted from 1, name the process: pricing-2.
	Service string
	Replica int
	// Tier orders the drain: all of the lowest tier end before the next is
	// told to. Who calls others stands in a lower tier than those it calls.
	Tier int
	// Path and Args are the program and its arguments, without the name of
	// the program itself.
	Path string
	Args []string
	// Env holds KEY=value pairs added to the environment of the launcher.
	Env []string
	// Listener, if not nil, is a listening socket that the process inherits.
	// It stays open between two lives of the process, so that callers queue
	// while it restarts and are not refused. The supervisor does not close it.
	Listener *os.File
}

// Name returns the service and the replica, as in pricing-2.
func (p Process) Name() string { return p.Service + "-" + strconv.Itoa(p.Replica) }

// A Report is what a process tells its launcher, as one line of JSON on
// descriptor [ReportFD], once it is ready.
type Report struct {
	// Addr and Admin are the public and the admin listener, host:port.
	Addr  string `json:"addr"`
	Admin string `json:"admin"`
	// PID is the process's own id.
	PID int `json:"pid"`
}

// Descriptors that a process inherits beyond the standard three.
const (
	// ReportFD is the pipe for the [Report].
	ReportFD = 3
	// LifelineFD is a pipe that nobody writes to: it ends when the launcher does.
	LifelineFD = 4
	// ListenerFD is [Process.Listener], where there is one.
	ListenerFD = 5
)

// State is one process as it is now.
type State struct {
	Service string `json:"service"`
	Replica int    `json:"replica"`
	// PID is 0 while the process is down.
	PID int `json:"pid"`
	// Addr and Admin are empty until the process has reported itself ready.
	Addr  string `json:"addr"`
	Admin string `json:"admin"`
	// Since is when the process was started.
	Since time.Time `json:"since"`
	// Restarts counts the lives before this one.
	Restarts int `json:"restarts"`
}

// Name returns the service and the replica, as in pricing-2.
func (s State) Name() string { return Process{Service: s.Service, Replica: s.Replica}.Name() }

// Ready reports whether the process runs and has said that it is ready.
func (s State) Ready() bool { return s.PID != 0 && s.Admin != "" }
