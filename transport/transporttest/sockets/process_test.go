//go:build unix

package sockets_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sockets"
)

// serveAt asks this test binary to be a server at an address.
const serveAt = "GABION_TEST_SERVE_AT"

// TestServer is the program of the processes of TestProcess.
func TestServer(t *testing.T) {
	addr := os.Getenv(serveAt)
	if addr == "" {
		t.Skip("is a server when TestProcess runs it")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening at", l.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	t.Fatal(srv.Serve(l))
}

// process is a server in a process of its own.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func (p *process) start() error {
	p.cmd = exec.Command(os.Args[0], "-test.run", "^TestServer$")
	p.cmd.Env = append(os.Environ(), serveAt+"="+p.addr)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%w after %q", err, line)
	}
	p.addr = strings.TrimSpace(strings.TrimPrefix(line, "listening at "))
	return nil
}

func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
	return err
}

func (p *process) signal(s os.Signal) func() error {
	return func() error { return p.cmd.Process.Signal(s) }
}

// Two processes, of which one is killed and started again while the other is
// stopped and goes on.
func TestProcess(t *testing.T) {
	skipIfShort(t)
	leaktest.Check(t)
	var targets []sockets.Target
	for range 2 {
		p := &process{addr: "127.0.0.1:0"}
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.kill() })
		targets = append(targets, sockets.Target{
			Addr: p.addr, Crash: p.kill, Start: p.start,
			Pause: p.signal(syscall.SIGSTOP), Resume: p.signal(syscall.SIGCONT),
		})
	}
	s := transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 2}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Kind: load.Closed, Workers: 4, Think: dist.Constant(50 * time.Millisecond), For: 2 * time.Second, Timeout: 2 * time.Second}},
		Faults: []transporttest.Fault{
			{Kind: transporttest.Crash, On: "pricing-1", At: 200 * time.Millisecond, For: 300 * time.Millisecond},
			{Kind: transporttest.Pause, On: "pricing-2", At: 1000 * time.Millisecond, For: 100 * time.Millisecond},
		},
	}
	r := sockets.Run(t, s, map[string][]sockets.Target{"pricing": targets})
	if r.Calls == 0 || r.Success < 0.5 {
		t.Errorf("%d calls, success %v; want some, at least half of them OK", r.Calls, r.Success)
	}
	for _, replica := range r.ByReplica {
		if replica.OK == 0 {
			t.Errorf("%s answered nothing", replica.Replica)
		}
	}
}
