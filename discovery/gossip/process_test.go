package gossip_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/gossip"
)

// childVariable makes the test binary a child process; it holds what the child
// announces.
const childVariable = "GABION_TEST_CHILD"

func TestMain(m *testing.M) {
	if id := os.Getenv(childVariable); id != "" {
		if err := child(id, os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child announces one instance of "pricing", says how many it sees of it
// whenever that changes, and leaves in order when its stdin ends.
func child(id, url string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, err := gossip.Open(ctx, url)
	if err != nil {
		return err
	}
	r, err := b.Register(ctx, discovery.Instance{ID: id, Service: "pricing", Addr: "127.0.0.1:" + id}, nil)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = r.Deregister(ctx)
		_ = b.Close()
	}()
	for list := range b.Watch(ctx, "pricing") {
		fmt.Println(len(list))
	}
	return nil
}

// A process is a child.
type process struct {
	cmd   *exec.Cmd
	leave io.Closer
	sees  chan string // what it printed
}

func spawn(t *testing.T, id int, url string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], url)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childVariable, id))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, leave: in, sees: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.sees <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	return p
}

// until waits for the child to print want.
func (p *process) until(t *testing.T, want string) {
	t.Helper()
	timeout := time.After(patience)
	for last := "nothing"; ; {
		select {
		case last = <-p.sees:
			if last == want {
				return
			}
		case <-timeout:
			t.Fatalf("child says %s, want %s", last, want)
		}
	}
}

// sees waits until b lists n instances of service and returns how long it took.
func sees(t *testing.T, b *gossip.Backend, service string, n int) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	last := -1
	for list := range b.Watch(ctx, service) {
		if last = len(list); last == n {
			return time.Since(begin)
		}
	}
	t.Fatalf("%d instances of %s after %v, want %d", last, service, patience, n)
	return 0
}

// TestProcesses starts three processes at the same moment with nothing but the
// default, kills one and has one leave.
func TestProcesses(t *testing.T) {
	t.Parallel()
	// The label moves the meeting places to a row of their own; all else is
	// the default.
	l := label()
	url := "gossip://?label=" + l
	children := []*process{spawn(t, 9001, url), spawn(t, 9002, url), spawn(t, 9003, url)}
	for _, c := range children {
		c.until(t, "3")
	}
	late := start(t, gossip.Config{Label: l})
	t.Logf("a fourth saw all three after %v", sees(t, late, "pricing", 3))

	if err := children[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("a killed one was out after %v", sees(t, late, "pricing", 2))
	children[1].until(t, "2")

	if err := children[1].leave.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("one that left was out after %v", sees(t, late, "pricing", 1))
	children[2].until(t, "1")
}

// TestStoppedProcess stops a process for so long that the others give it up,
// and lets it go on. It must come back without anybody's help.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	l := label()
	here := start(t, gossip.Config{Label: l})
	there := spawn(t, 9001, "gossip://?label="+l)
	sees(t, here, "pricing", 1)
	there.until(t, "1")
	if err := there.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Logf("a stopped one was out after %v", sees(t, here, "pricing", 0))
	if err := there.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("it was back %v after it went on", sees(t, here, "pricing", 1))
}
