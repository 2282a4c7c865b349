package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The code on README's first screen is this program.
func TestReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(string(program), block) {
		t.Errorf("README shows\n%s\nwhich is not in main.go", block)
	}
	if n := strings.Count(strings.TrimSpace(block), "\n") + 1; n > 10 {
		t.Errorf("the service on README takes %d lines, want ten at most", n)
	}
}

// Two instances and a client, as README starts them: real processes that know
// nothing of each other.
func TestHello(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds and runs processes")
	}
	dir := t.TempDir()
	for _, pkg := range []string{".", "./client"} {
		name := filepath.Join(dir, map[string]string{".": "hello", "./client": "client"}[pkg])
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", name, pkg).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	env := append(os.Environ(), fmt.Sprintf("GABION_DISCOVERY=gossip://?label=hello-test-%d", os.Getpid()), "GABION_DRAIN_DELAY=50ms", "GABION_LOG_FORMAT=json")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var services []*exec.Cmd
	for range 2 {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "hello"))
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		services = append(services, cmd)
	}
	var out []byte
	for { // until an instance is there
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "client"), "gopher")
		cmd.Env = env
		var err error
		if out, err = cmd.Output(); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the client found no instance in a minute: %v", err)
		}
	}
	if string(out) != "Hello, gopher!\n" {
		t.Errorf("got %q", out)
	}
	for _, cmd := range services {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range services {
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v, want status 0", err)
		}
	}
}
