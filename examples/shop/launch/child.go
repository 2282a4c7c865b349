package launch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// child is a process through all its lives.
type child struct {
	Process
	lines *Lines
	wait  backoff       // of keep alone
	done  chan struct{} // closed when keep has returned

	// guarded by Supervisor.mu
	state   State
	process *os.Process // nil while down
	why     string      // why the supervisor killed it, if it did
}

// keep runs a child again and again until ctx has ended.
func (s *Supervisor) keep(ctx context.Context, c *child, lifeline *lifeline) {
	defer close(c.done)
	for {
		began := time.Now()
		end, err := s.live(ctx, c, lifeline)
		if ctx.Err() != nil {
			return
		}
		delay := c.wait.next(time.Since(began))
		if err != nil {
			s.notice("%s could not be started: %v; trying again in %v", c.Name(), err, delay)
		} else {
			s.notice("%s %s; starting again in %v", c.Name(), end, delay)
		}
		if !sleep(ctx, delay) || !s.awaitRelease(ctx, c) {
			return
		}
	}
}

// awaitRelease returns once the service is not held down. It reports whether
// ctx still stands.
func (s *Supervisor) awaitRelease(ctx context.Context, c *child) bool {
	const interval = 100 * time.Millisecond
	if s.cfg.HeldUntil == nil {
		return true
	}
	for said := false; ; said = true {
		left := time.Until(s.cfg.HeldUntil(c.Service))
		if left <= 0 {
			return true
		}
		if !said {
			s.notice("%s is held down for %v", c.Name(), left.Round(time.Second))
		}
		if !sleep(ctx, min(left, interval)) {
			return false
		}
	}
}

// live runs a child once and returns how it ended, or why it could not begin.
func (s *Supervisor) live(ctx context.Context, c *child, lifeline *lifeline) (end string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	defer r.Close()
	cmd := c.command(w, lifeline)
	err = s.start(c, cmd)
	w.Close()
	if err != nil {
		return "", err
	}
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(watching, c, r) })
	_ = cmd.Wait() // the state of the process says it better
	stop()
	r.Close() // wakes a watch that still waits for the report
	wg.Wait()
	c.lines.Flush()
	return s.ended(c, cmd), nil
}

func (c *child) command(report *os.File, lifeline *lifeline) *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = c.lines, c.lines
	cmd.ExtraFiles = []*os.File{report, lifeline.r}
	if c.Listener != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.Listener)
	}
	cmd.SysProcAttr = processAttr()
	cmd.WaitDelay = time.Second // for an offspring that keeps the output open
	return cmd
}

// errDraining: no process is started any more.
var errDraining = errors.New("launch: draining")

// start starts cmd unless the drain has begun. Both happen under the lock, so
// that the drain sees every process that was started.
func (s *Supervisor) start(c *child, cmd *exec.Cmd) (err error) {
	s.update(func() {
		if s.draining {
			err = errDraining
			return
		}
		if err = s.spawner.start(cmd); err != nil {
			err = fmt.Errorf("launch: %w", err)
			return
		}
		c.process, c.why = cmd.Process, ""
		c.state.PID, c.state.Since = cmd.Process.Pid, time.Now()
	})
	return err
}

// ended notes the end of a child and says in words how it came.
func (s *Supervisor) ended(c *child, cmd *exec.Cmd) (end string) {
	pid := cmd.Process.Pid
	s.update(func() {
		c.process = nil
		c.state.PID, c.state.Addr, c.state.Admin = 0, "", ""
		c.state.Restarts++
		end = fmt.Sprintf("(pid %d) %s", pid, describe(cmd.ProcessState))
		if c.why != "" {
			end = fmt.Sprintf("(pid %d) was killed: %s", pid, c.why)
		}
	})
	return end
}

// watch waits for the child's report and then probes it, until ctx ends.
func (s *Supervisor) watch(ctx context.Context, c *child, r *os.File) {
	report, err := s.readReport(r)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if ctx.Err() == nil {
			s.killChild(c, fmt.Sprintf("not ready within %v", s.cfg.Timing.StartTimeout))
		}
		return
	case err != nil:
		return // it ended, or has nothing to report: then it is never ready
	}
	s.update(func() { c.state.Addr, c.state.Admin = report.Addr, report.Admin })
	if s.probe.untilDead(ctx, report.Admin, s.cfg.Timing) {
		s.killChild(c, fmt.Sprintf("no answer on /livez, %d times in a row", s.cfg.Timing.ProbeFailures))
	}
}

func (s *Supervisor) readReport(r *os.File) (Report, error) {
	// Where pipes know no deadline, a start is not bounded.
	_ = r.SetReadDeadline(time.Now().Add(s.cfg.Timing.StartTimeout))
	var report Report
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err != nil {
		return report, err
	}
	return report, json.Unmarshal(line, &report)
}

// sleep waits for d and reports whether ctx still stands.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
