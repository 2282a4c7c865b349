package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The suite has the same result through gabion as through bare net/http: all
// passes but what known-failing.txt holds, which must fail in both. The runs
// wait more than they work.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("runs thousands of calls")
	}
	runner, program := runner(t), program(t)
	for _, mode := range []string{"client", "server", "both"} {
		for _, via := range []string{"gabion", "plain"} {
			t.Run(mode+"/"+via, func(t *testing.T) {
				t.Parallel()
				out, err := exec.CommandContext(t.Context(), runner, arguments(mode, via, program)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				_, total, _ := strings.Cut(string(out), "Total cases: ")
				t.Log("cases:", strings.Join(strings.Fields(total), " "))
			})
		}
	}
}

// arguments returns what the runner is started with: to test the program as a
// client, as a server, or as each other's.
func arguments(mode, via, program string) []string {
	args := []string{"--mode", mode, "--conf", "features.yaml"}
	if mode == "client" {
		args = append(args, "--port", "0", "--known-failing", "@known-failing.txt")
	}
	command := []string{program}
	if via == "plain" {
		command = append(command, "-plain")
	}
	args = append(append(args, "--"), command...)
	if mode != "both" {
		return append(args, mode)
	}
	args = append(args, "client", "----")
	return append(append(args, command...), "server")
}

// runner returns the suite's runner: the program that CONNECTCONFORMANCE names,
// or else the one that go.mod pins, built if it need be.
func runner(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CONNECTCONFORMANCE"); path != "" {
		return path
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "connectconformance").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// program builds what is under test.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gabion")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
