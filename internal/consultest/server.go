package consultest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// startLimit bounds the time from the start of the process to a leader with
// its own node in the catalog. An idle machine needs about a second.
const startLimit = 60 * time.Second

// Server is a Consul agent in development mode: one server, in memory, on
// loopback. Its ports stay the same over restarts. Use it from one goroutine.
type Server struct {
	t    testing.TB
	conf config
	dir  string
	// ports: HTTP, server RPC, LAN gossip.
	ports [3]int
	proc  *process

	client    *api.Client
	transport *http.Transport
}

// process is one run of the program.
type process struct {
	os     *os.Process
	exited chan struct{} // closed once the process has been waited for
}

// Option changes what [Start] starts.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	token string
	hcl   []string
}

// WithACL turns access control on: everything is denied but to token, a UUID,
// which may do all.
func WithACL(token string) Option {
	return optionFunc(func(c *config) {
		c.token = token
		c.hcl = append(c.hcl, fmt.Sprintf(
			`acl { enabled = true default_policy = "deny" tokens { initial_management = %q } }`, token))
	})
}

// WithConfig adds a piece of agent configuration in HCL.
func WithConfig(hcl string) Option {
	return optionFunc(func(c *config) { c.hcl = append(c.hcl, hcl) })
}

// Start runs a Consul for t and waits until it has a leader. It ends with the
// test, even with a test binary that is killed (on Linux). Start skips the test
// with -short and fails it when no Consul can be had.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := newServer(t, opts)
	s.Restart()
	return s
}

// New returns a server like [Start], with its address chosen, that does not run
// yet: [Server.Restart] starts it.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return newServer(t, opts)
}

func newServer(t testing.TB, opts []Option) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Consul server, which -short leaves out")
	}
	if _, err := program(); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: t.TempDir()}
	for _, o := range opts {
		o.apply(&s.conf)
	}
	s.choosePorts()
	s.connect()
	t.Cleanup(s.end)
	return s
}

// Addr returns the HTTP address as host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.ports[0]) }

// API returns a client that may do everything. It is the same each time.
func (s *Server) API() *api.Client { return s.client }

// connect makes the client.
func (s *Server) connect() {
	s.t.Helper()
	s.transport = &http.Transport{MaxIdleConnsPerHost: 4}
	var err error
	s.client, err = api.NewClient(&api.Config{
		Address:    s.Addr(),
		Scheme:     "http",
		Token:      s.conf.token,
		HttpClient: &http.Client{Transport: s.transport},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// Restart kills the server if it runs and starts it empty on the same ports.
// It waits for a leader.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	deadline := time.Now().Add(startLimit)
	for {
		err := s.start(deadline)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("consultest: start: %v\n%s", err, tail(s.logFile(), 4000))
		}
		time.Sleep(200 * time.Millisecond) // somebody has a port; it was free a moment ago
	}
}

// Kill ends the server at once and waits until it is gone. A server that does
// not run is left alone.
func (s *Server) Kill() {
	if s.proc == nil {
		return
	}
	_ = s.proc.os.Kill() // it may have ended by itself
	<-s.proc.exited
	s.proc = nil
	s.transport.CloseIdleConnections() // a PUT on one of them would fail
}

// Stop freezes the server (SIGSTOP): connections stay open and nothing
// answers. It waits until that is so, which is a moment after the signal.
func (s *Server) Stop() {
	s.t.Helper()
	if err := pause(s.proc.os); err != nil {
		s.t.Fatalf("consultest: stop: %v", err)
	}
	for s.answers() {
	}
}

// answers reports whether the server answers within a moment.
func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := s.client.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	return err == nil
}

// Cont lets a server go on after [Server.Stop].
func (s *Server) Cont() {
	s.t.Helper()
	if err := resume(s.proc.os); err != nil {
		s.t.Fatalf("consultest: continue: %v", err)
	}
}

// end is the cleanup: it shows the log of a failed test.
func (s *Server) end() {
	s.Kill()
	s.transport.CloseIdleConnections()
	if s.t.Failed() {
		s.t.Logf("consul's log ends with:\n%s", tail(s.logFile(), 4000))
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "consul.log") }

// start runs the program and waits until it is ready, has ended, or the
// deadline passes.
func (s *Server) start(deadline time.Time) error {
	cmd, err := s.command()
	if err != nil {
		return err
	}
	if s.proc, err = launch(cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for {
		err := ready(ctx, s.client)
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.exited:
			s.proc = nil
			return errors.New("the program ended")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ready reports why the server cannot be used yet: it has no leader, or the
// leader has not put the node into the catalog.
func ready(ctx context.Context, client *api.Client) error {
	q := (&api.QueryOptions{}).WithContext(ctx)
	leader, err := client.Status().LeaderWithQueryOptions(q)
	if err != nil {
		return err
	}
	if leader == "" {
		return errors.New("no leader")
	}
	entries, _, err := client.Health().Service("consul", "", true, q)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return errors.New("the server's node is not in the catalog")
	}
	return nil
}

func (s *Server) command() (*exec.Cmd, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	args := []string{"agent", "-dev", "-node=test",
		"-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn",
		"-http-port=" + strconv.Itoa(s.ports[0]),
		"-server-port=" + strconv.Itoa(s.ports[1]),
		"-serf-lan-port=" + strconv.Itoa(s.ports[2]),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
	}
	for _, hcl := range s.conf.hcl {
		args = append(args, "-hcl="+hcl)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dependent()
	return cmd, nil
}

// launch starts cmd from a thread that lives until the process has ended,
// because on Linux the process dies with the thread that started it.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		err := cmd.Start()
		_ = cmd.Stdout.(*os.File).Close() // the child has its own handle
		p.os = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed, as a rule
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ports come from below the range that Linux gives to outgoing connections,
// one of which could otherwise take a port before the server does.
const (
	lowestPort  = 20000
	highestPort = 32767
)

// choosePorts finds ports that are free now.
func (s *Server) choosePorts() {
	s.t.Helper()
	for i := 0; i < len(s.ports); {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if !slices.Contains(s.ports[:i], port) && free(port) {
			s.ports[i] = port
			i++
		}
	}
}

// free reports whether port is free for TCP and UDP.
func free(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return c.Close() == nil
}
