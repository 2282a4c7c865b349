package consultest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// builderEnv turns a process that calls [Main] or [RunBuilder] into the
// builder. Its value is the directory of the module to build.
const builderEnv = "GABION_CONSULTEST_BUILD"

// patience is the time between two lines of progress.
const patience = 15 * time.Second

// await starts a builder in a process of its own and waits for it up to limit.
// Several test binaries may do so at once: a file lock lets one builder work
// while the others wait for its result.
func (c cache) await(limit time.Duration, progress io.Writer) error {
	builder, err := startBuilder(c)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- builder.Wait() }()

	began := time.Now()
	fmt.Fprintf(progress, "consultest: no consul in PATH: building Consul %s once, as a test tool, into %s (5 to 10 minutes on 2 cores; log: %s)\n",
		Version, c.dir, c.log())
	tick := time.NewTicker(patience)
	defer tick.Stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		select {
		case err := <-done:
			return c.outcome(err)
		case <-tick.C:
			fmt.Fprintf(progress, "consultest: building Consul %s: %v so far\n", Version, time.Since(began).Round(time.Second))
		case <-over.C:
			return fmt.Errorf("consultest: Consul %s is still being built after %v, and go test's time limit is near. "+
				"The build goes on in the background (process %d, log %s): run the tests again in a few minutes, "+
				"or give them more time with -timeout 30m, or leave out the tests that need Consul with -short",
				Version, limit.Round(time.Second), builder.Process.Pid, c.log())
		}
	}
}

// startBuilder runs this very program again as the builder, detached, with its
// output in the log: a pipe to us would keep go test waiting for the child.
func startBuilder(c cache) (*exec.Cmd, error) {
	tools, err := moduleDir()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("consultest: %w", err)
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("consultest: %w", err)
	}
	defer log.Close() // the child has its own handle
	cmd := exec.Command(self)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), builderEnv+"="+tools)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("consultest: start the builder: %w", err)
	}
	return cmd, nil
}

// outcome turns the builder's end into an error that shows why it failed.
func (c cache) outcome(err error) error {
	if err == nil && c.built() {
		return nil
	}
	if err == nil {
		err = errors.New("the builder ended without a program")
	}
	return fmt.Errorf("consultest: build Consul %s: %w (log %s ends with:\n%s)\n"+
		"Install consul in PATH, or leave out the tests that need it with -short", Version, err, c.log(), tail(c.log(), 1500))
}

// RunBuilder does the builder's work and exits if this process was started as
// the builder; else it does nothing. Programs that call [Path] but not [Main]
// call it first.
func RunBuilder() {
	tools, ok := os.LookupEnv(builderEnv)
	if !ok {
		return
	}
	if err := runBuilder(tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runBuilder(tools string) error {
	c, err := newCache()
	if err != nil {
		return err
	}
	unlock, err := lockFile(c.lock())
	if err != nil {
		return fmt.Errorf("consultest: %w", err)
	}
	defer unlock()
	if c.built() {
		return nil // another builder was first
	}
	return c.build(tools)
}

// build compiles the program and puts it in place in one step.
func (c cache) build(tools string) error {
	partial := filepath.Join(c.dir, "consul.partial")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", partial, "github.com/hashicorp/consul")
	cmd.Dir = tools
	// GOWORK=off: the server's old dependencies must not meet the library's.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("consultest: go build: %w", err)
	}
	return os.Rename(partial, c.binary())
}

// tail returns the last n bytes of a file, as far as it can be read.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-n):])
}
