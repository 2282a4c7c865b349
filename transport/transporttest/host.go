package transporttest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// A Host is a machine of a [Network] that runs one [Process] at a time. Faults
// fall upon hosts; a host stays when its process crashes.
type Host struct {
	net     *Network
	name    string
	service string // "" for a host of none
	main    Main

	mu      sync.Mutex
	process *Process // nil before the first
	runs    int
	off     bool          // the machine itself is gone
	down    int           // faults that keep the process from running
	pauses  int           // faults that freeze it
	thaw    chan struct{} // closed when the last pause ends; nil without one
	woke    time.Time     // when it ended
	offset  time.Duration // of the clock
	cpus    []*cpu        // what requests share; the newest counts
	queues  []*queue      // likewise
}

// A Main is the program of a process. It runs until ctx ends, which asks it to
// stop in order, as SIGTERM does; a process that has crashed gets that too, but
// nothing that it does reaches the network any more. The cause of ctx's end
// then matches [ErrCrashed].
type Main func(ctx context.Context, p *Process) error

// ErrCrashed is the cause of the end of a process that was killed.
var ErrCrashed = errors.New("transporttest: the process has crashed")

var errStopped = errors.New("transporttest: the process was asked to stop")

func idle(ctx context.Context, _ *Process) error {
	<-ctx.Done()
	return nil
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Process returns the one that runs now, or the last that did.
func (h *Host) Process() *Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.process
}

// begin starts the process unless one runs, a fault keeps it down, or the
// network is over.
func (h *Host) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.process != nil && !h.process.over() || h.down > 0 || h.net.ctx.Err() != nil {
		return
	}
	h.off = false
	h.runs++
	p := newProcess(h, h.runs)
	h.process = p
	go p.run(h.main)
	if h.runs > 1 {
		h.net.event(report.Restart, h.name, "")
	}
}

// keepDown keeps the process from being started until as many calls of bringUp.
func (h *Host) keepDown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down++
}

// bringUp starts the process unless something else keeps it down.
func (h *Host) bringUp() {
	h.mu.Lock()
	h.down--
	h.mu.Unlock()
	h.begin()
}

// kill ends the process at once. Others see its connections reset; silently,
// they see nothing.
func (h *Host) kill(cause error, silent bool) {
	h.mu.Lock()
	p := h.process
	h.off = h.off || silent
	h.mu.Unlock()
	if p != nil {
		p.kill(cause, silent)
	}
}

// stop asks the process to end in order and waits until it has.
func (h *Host) stop() {
	if p := h.Process(); p != nil { // nil before the first
		p.cancel(errStopped)
		<-p.done
	}
}

func (h *Host) wait() {
	if p := h.Process(); p != nil {
		<-p.done
	}
}

// pause freezes the process until as many calls of resume.
func (h *Host) pause() {
	h.mu.Lock()
	h.pauses++
	first := h.pauses == 1
	if first {
		h.thaw = make(chan struct{})
	}
	p := h.process
	h.mu.Unlock()
	if first && p != nil { // nil before the first
		p.freeze()
	}
}

func (h *Host) resume() {
	h.mu.Lock()
	h.pauses--
	last := h.pauses == 0
	if last {
		close(h.thaw)
		h.thaw, h.woke = nil, time.Now()
	}
	p := h.process
	h.mu.Unlock()
	if last && p != nil {
		p.melt()
	}
}

// frozen returns what is closed when the pause is over, or nil without one.
func (h *Host) frozen() <-chan struct{} {
	thaw, _ := h.sleep()
	return thaw
}

// sleep is frozen, and when the host woke up the last time.
func (h *Host) sleep() (thaw <-chan struct{}, woke time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.thaw, h.woke
}

func (h *Host) isOff() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.off
}

// moveClock sets the host's clock forward by d, backward if negative.
func (h *Host) moveClock(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offset += d
}

// is reports whether name means this host: its own name, its service's, or all.
func (h *Host) is(name string) bool {
	return name == Everyone || name == "" || name == h.name || h.service != "" && name == h.service
}
