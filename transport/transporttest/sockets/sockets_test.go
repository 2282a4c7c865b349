package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
	"github.com/gabion-go/gabion/transport/transporttest/sockets"
)

// server is a plain server of net/http at an address that stays the same.
type server struct {
	t    *testing.T
	name string
	addr string

	mu     sync.Mutex
	srv    *http.Server
	done   chan struct{}
	calls  []string // of the functions of the target
	served int
}

func start(t *testing.T, name string) *server {
	t.Helper()
	s := &server{t: t, name: name, addr: "127.0.0.1:0"}
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.kill() })
	return s
}

func (s *server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = l.Addr().String()
	srv, done := &http.Server{Handler: http.HandlerFunc(s.answer)}, make(chan struct{})
	s.srv, s.done = srv, done
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	}()
	return nil
}

func (s *server) answer(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.served++
	s.mu.Unlock()
	fmt.Fprint(w, "hello from ", s.name)
}

func (s *server) kill() error {
	s.mu.Lock()
	srv, done := s.srv, s.done
	s.mu.Unlock()
	err := srv.Close()
	<-done
	return err
}

func (s *server) note(what string, f func() error) func() error {
	return func() error {
		s.mu.Lock()
		s.calls = append(s.calls, what)
		s.mu.Unlock()
		if f == nil {
			return nil
		}
		return f()
	}
}

func (s *server) story() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.calls, " ")
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served
}

func (s *server) target() sockets.Target {
	return sockets.Target{
		Addr: s.addr, Crash: s.note("crash", s.kill), Start: s.note("start", s.listen), Stop: s.note("stop", s.kill),
		Pause: s.note("pause", nil), Resume: s.note("resume", nil),
	}
}

func startAll(t *testing.T, service string, n int) (servers []*server, targets map[string][]sockets.Target) {
	t.Helper()
	targets = map[string][]sockets.Target{}
	for i := range n {
		s := start(t, fmt.Sprintf("%s-%d", service, i+1))
		servers = append(servers, s)
		targets[service] = append(targets[service], s.target())
	}
	return servers, targets
}

// The same scenario in the bubble and on real sockets, with as many calls as the
// machine can make: the calls succeed in
// both, the replica that cannot be reached answers none, and the two others
// have answered, the one that crashed after it came back, too.
func TestBothWorlds(t *testing.T) {
	leaktest.Check(t)
	s := transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 3}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Kind: load.Closed, Workers: 6, Think: dist.Constant(50 * time.Millisecond), For: 2500 * time.Millisecond, Timeout: 2 * time.Second}},
		Faults: []transporttest.Fault{
			{Kind: transporttest.Partition, From: "web", To: "pricing-1"},
			{Kind: transporttest.Latency, From: "web", To: "pricing-3", Latency: dist.Constant(10 * time.Millisecond)},
			{Kind: transporttest.Crash, On: "pricing-2", At: 500 * time.Millisecond, For: 500 * time.Millisecond},
		},
	}
	servers, targets := startAll(t, "pricing", 3)
	for name, r := range map[string]*report.Report{
		"bubble":  s.Run(t, transporttest.WithHandler("pricing", func(*transporttest.Process) http.Handler { return http.NotFoundHandler() })),
		"sockets": sockets.Run(t, s, targets),
	} {
		if r.Calls == 0 || r.Success < 0.6 {
			t.Errorf("%s: %d calls, success %v, want some, at least 0.6 of them OK", name, r.Calls, r.Success)
		}
		ok := map[string]int{}
		for _, p := range r.ByReplica {
			ok[p.Replica] = p.OK
		}
		if ok["pricing-1"] != 0 || ok["pricing-2"] == 0 || ok["pricing-3"] == 0 {
			t.Errorf("%s: answers by replica %v, want none of pricing-1 and some of the others", name, ok)
		}
		var kinds []string
		for _, e := range r.Events {
			if e.Kind == report.Crash || e.Kind == report.Restart {
				kinds = append(kinds, e.Kind+" "+e.Subject)
			}
		}
		if got, want := strings.Join(kinds, ", "), "crash pricing-2, restart pricing-2"; got != want {
			t.Errorf("%s: events %s, want %s", name, got, want)
		}
	}
	if got, want := servers[1].story(), "crash start"; got != want {
		t.Errorf("done to pricing-2: %q, want %q", got, want)
	}
	if n := servers[0].count(); n != 0 {
		t.Errorf("pricing-1 behind the partition served %d requests", n)
	}
}

// What the bubble does to a process is done to the server.
func TestFunctions(t *testing.T) {
	skipIfShort(t)
	leaktest.Check(t)
	servers, targets := startAll(t, "pricing", 3)
	broken := errors.New("no such process")
	targets["pricing"][2].Pause = func() error { return broken }
	s := transporttest.Scenario{
		Duration: 500 * time.Millisecond,
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 3}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Rate: 20, Timeout: time.Second}},
		Faults: []transporttest.Fault{
			{Kind: transporttest.Pause, On: "pricing-1", At: 100 * time.Millisecond, For: 200 * time.Millisecond},
			{Kind: transporttest.Restart, On: "pricing-2", At: 50 * time.Millisecond, For: 100 * time.Millisecond},
			{Kind: transporttest.Pause, On: "pricing-3", At: 100 * time.Millisecond, For: 100 * time.Millisecond},
			{Kind: transporttest.Crash, On: "pricing", At: time.Hour},
		},
	}
	stories := []string{"pause resume", "stop start", "resume"}
	rec := &recorder{TB: t}
	sockets.Run(rec, s, targets, lasting(func() bool {
		for i, want := range stories {
			if servers[i].story() != want {
				return false
			}
		}
		return true
	}))
	if got, want := rec.said(), "sockets: pause pricing-3: no such process"; got != want {
		t.Errorf("the test was told %q, want %q", got, want)
	}
	for i, want := range stories {
		if got := servers[i].story(); got != want {
			t.Errorf("done to pricing-%d: %q, want %q", i+1, got, want)
		}
	}
}

// patient is gabion's client with time for a machine that is busy.
func patient(p *transporttest.Process) http.RoundTripper {
	policy := transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute}
	return p.Client(transport.WithDialer(sockets.Dialer(p)), transport.WithPolicy(policy)).Transport
}

// lasting has the calls of a run, and with them the run, go on until done says
// that what they are there for has happened, but not for ever.
func lasting(done func() bool) transporttest.RunOption {
	return transporttest.WithVia(func(p *transporttest.Process) http.RoundTripper {
		next := sockets.Gabion(p)
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			for began := time.Now(); !done() && time.Since(began) < patience; {
				time.Sleep(10 * time.Millisecond) // in real time: sockets are real
			}
			return resp, err
		})
	})
}

// patience is for how long tests wait for what must come true.
const patience = 20 * time.Second

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
}

// recorder takes down what a test would fail with.
type recorder struct {
	testing.TB
	mu   sync.Mutex
	text []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, fmt.Sprintf(format, args...))
}

func (r *recorder) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.text, "\n")
}

// Faults of handlers fall upon real servers, too, by a proxy that answers in
// their place.
func TestHandlerFaults(t *testing.T) {
	skipIfShort(t)
	leaktest.Check(t)
	servers, targets := startAll(t, "pricing", 2)
	s := transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 2}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Kind: load.Closed, Workers: 2, For: time.Second, Timeout: time.Minute}},
		Faults:   []transporttest.Fault{{Kind: transporttest.Status, Status: http.StatusTooManyRequests, On: "pricing-1"}},
	}
	r := sockets.Run(t, s, targets, transporttest.WithVia(patient))
	if n := servers[0].count(); n != 0 {
		t.Errorf("pricing-1 served %d requests, want none", n)
	}
	if n := servers[1].count(); n == 0 || n != r.OK {
		t.Errorf("pricing-2 served %d requests, want the %d that were OK", n, r.OK)
	}
	if got, want := r.Errors["429"], r.Calls-r.OK; got != want || got == 0 {
		t.Errorf("errors %v, want %d with 429", r.Errors, want)
	}
}

// A real client meets the faults of its link at the address that Listen opens.
func TestListen(t *testing.T) {
	skipIfShort(t)
	leaktest.Check(t)
	n := transporttest.New(t)
	n.Launch("pricing", 1, start(t, "pricing-1").target().Program())
	awaitListed(t, n, "pricing")
	for name, tc := range map[string]struct {
		fault transporttest.Fault
		ok    bool
		least time.Duration
	}{
		"nothing":    {transporttest.Fault{}, true, 0},
		"latency":    {transporttest.Fault{Kind: transporttest.Latency, Latency: dist.Constant(20 * time.Millisecond)}, true, 40 * time.Millisecond},
		"drip":       {transporttest.Fault{Kind: transporttest.Drip, Rate: 500}, true, 200 * time.Millisecond},
		"reset":      {transporttest.Fault{Kind: transporttest.Reset, Probability: 1}, false, 0},
		"refuse":     {transporttest.Fault{Kind: transporttest.Refuse}, false, 0},
		"partition":  {transporttest.Fault{Kind: transporttest.Partition}, false, short},
		"black-hole": {transporttest.Fault{Kind: transporttest.BlackHole}, false, short},
		"one way":    {transporttest.Fault{Kind: transporttest.BlackHole, OneWay: true}, false, short},
	} {
		host := strings.ReplaceAll(name, " ", "-")
		p := n.Host(host).Process()
		addr, err := sockets.Listen(p, "pricing-1:80")
		if err != nil {
			t.Fatal(err)
		}
		if tc.fault.Kind != "" {
			tc.fault.From, tc.fault.To = host, "pricing"
			n.Fault(tc.fault)
		}
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			patience := patience
			if tc.least == short {
				patience = short
			}
			body, err := get(addr, patience)
			if took := time.Since(began); took < tc.least {
				t.Errorf("took %v, want at least %v", took, tc.least)
			}
			if (err == nil) != tc.ok || tc.ok && body != "hello from pricing-1" {
				t.Errorf("got %q, %v; want an answer: %v", body, err, tc.ok)
			}
		})
	}
}

// awaitListed waits until a service is in the registry: then it listens.
func awaitListed(t *testing.T, n *transporttest.Network, service string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for list := range n.Host("looking").Process().Registry().Watch(ctx, service) {
		if len(list) > 0 {
			return
		}
	}
	t.Fatalf("%s is not listed after %v", service, patience)
}

// A client that has said all it has to say still gets the answer.
func TestHalfClosed(t *testing.T) {
	leaktest.Check(t)
	n := transporttest.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c) // what comes, to its end
			err = errors.Join(err, c.Close())
		}
		served <- err
	}()
	n.Launch("echo", 1, sockets.Target{Addr: l.Addr().String()}.Program())
	awaitListed(t, n, "echo")
	addr, err := sockets.Listen(n.Host("web").Process(), "echo-1:80")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := strings.Repeat("hello ", 50_000)
	go func() {
		_, _ = io.WriteString(c, want) // the answer tells
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != want {
		t.Errorf("%d bytes, %v; want the %d that were sent", len(got), err, len(want))
	}
	if err := errors.Join(<-served, l.Close()); err != nil {
		t.Error(err)
	}
}

// short is how long the client waits for an answer that does not come.
const short = 300 * time.Millisecond

func get(addr string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestCannotRun(t *testing.T) {
	s := transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 2}},
		Faults:   []transporttest.Fault{{Kind: transporttest.ClockJump, On: "pricing-1", Jump: time.Hour}},
	}
	rec := &fatal{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sockets.Run(rec, s, map[string][]sockets.Target{"pricing": {{}}, "stock": {{Addr: "127.0.0.1:9"}}})
	}()
	<-done
	for _, want := range []string{
		`service "pricing": it has 2 replicas and 1 targets; name a server for each`,
		`service "pricing": target 1 has no address`,
		`service "stock": it has targets, but is not in the scenario`,
		`fault clock-jump pricing-1 at 0s: the clock of a real server cannot be set; run it in a bubble`,
	} {
		if !strings.Contains(rec.text, want) {
			t.Errorf("no %s in\n%s", want, rec.text)
		}
	}
}

// fatal takes down what a test would end with.
type fatal struct {
	testing.TB
	text string
}

func (f *fatal) Fatal(args ...any) {
	f.text = fmt.Sprint(args...)
	runtime.Goexit()
}

// A server that cannot leave the registry is stopped all the same before it is
// started again.
func TestRestartInRegistryOutage(t *testing.T) {
	skipIfShort(t)
	leaktest.Check(t)
	servers, targets := startAll(t, "pricing", 1)
	const want = "stop start"
	sockets.Run(t, transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing"}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Kind: load.Constant, Rate: 10, For: 500 * time.Millisecond, Timeout: time.Second}},
		Faults: []transporttest.Fault{
			{Kind: transporttest.RegistryOutage, On: "*", At: 100 * time.Millisecond},
			{Kind: transporttest.Restart, On: "pricing-1", At: 200 * time.Millisecond, For: time.Second},
		},
	}, targets, lasting(func() bool { return servers[0].story() == want }))
	if got := servers[0].story(); got != want {
		t.Errorf("done to the server: %q, want %q", got, want)
	}
}
