//go:build unix

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// The test binary is also the service that the tests break.
const roleVar = "CHAOS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "service" {
		service()
		return
	}
	os.Exit(m.Run())
}

// service has an admin listener that remembers all faults it was given.
func service() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var faults []byte
	http.HandleFunc("PUT /shop/fault", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, body...)
	})
	http.HandleFunc("GET /shop/fault", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Write(faults)
	})
	http.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	go http.Serve(l, nil)
	report := launch.Report{Addr: l.Addr().String(), Admin: l.Addr().String(), PID: os.Getpid()}
	if err := json.NewEncoder(os.NewFile(launch.ReportFD, "report")).Encode(report); err != nil {
		panic(err)
	}
	<-stop
}

// shop is a running shop of the test binary's making.
type shop struct {
	*launch.Supervisor
	registry launch.Registry
}

func openShop(t *testing.T) shop {
	t.Helper()
	registry, err := launch.RegistryIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	claim, err := registry.Claim("127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	cfg := launch.Config{
		Output:    launch.NewOutput(io.Discard, false),
		HeldUntil: claim.HeldUntil,
		Changed: func(states []launch.State) {
			if err := claim.Write(launch.RunFile{Launcher: os.Getpid(), Storefront: "127.0.0.1:8080", Children: states}); err != nil {
				t.Error(err)
			}
		},
		Timing: launch.Timing{BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond},
	}
	for _, p := range []launch.Process{{Service: "storefront", Replica: 1}, {Service: "pricing", Replica: 1}, {Service: "pricing", Replica: 2}} {
		p.Path, p.Env = os.Args[0], []string{roleVar + "=service", "GORACE=atexit_sleep_ms=0"}
		cfg.Processes = append(cfg.Processes, p)
	}
	s := shop{launch.New(cfg), registry}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-result; err != nil {
			t.Error(err)
		}
		if err := claim.Release(); err != nil {
			t.Error(err)
		}
	})
	s.ready(t)
	return s
}

func (s shop) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "run file is up to date", func() bool {
		f, err := s.registry.Find("")
		return err == nil && slices.EqualFunc(f.Children, s.States(), func(a, b launch.State) bool { return a.PID == b.PID && a.Admin == b.Admin })
	})
}

// faults returns what the instances of pricing were told to do wrong.
func (s shop) faults(t *testing.T) (told []string) {
	t.Helper()
	for _, st := range s.States()[1:] {
		resp, err := http.Get("http://" + st.Admin + "/shop/fault")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 0 {
			told = append(told, string(body))
		}
	}
	return told
}

// chaos runs the command and returns what it printed.
func (s shop) chaos(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Command(t.Context(), s.registry, args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "over; all is mended") {
		t.Errorf("it ends with\n%s", &out)
	}
	return out.String()
}

func restarts(states []launch.State) (n []int) {
	for _, st := range states {
		n = append(n, st.Restarts)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestKillAndTermHitOneInstance(t *testing.T) {
	s := openShop(t)
	for i, fault := range []string{"kill", "term"} {
		out := s.chaos(t, fault, "pricing-2", "-for", "100ms")
		if !strings.Contains(out, fault+" pricing-2 (pid ") || !strings.Contains(out, "look for: ") {
			t.Errorf("%s prints\n%s", fault, out)
		}
		eventually(t, "restarted", func() bool { return s.States()[2].Restarts == i+1 })
		s.ready(t)
	}
	if got := restarts(s.States()); !slices.Equal(got, []int{0, 0, 2}) {
		t.Errorf("restarts %v, want only pricing-2 to be hit", got)
	}
}

func TestHangIsMended(t *testing.T) {
	s := openShop(t)
	for name, args := range map[string][]string{
		"at its end":       {"hang", "pricing-1", "-lasts", "50ms", "-for", "100ms"},
		"when time is up":  {"hang", "pricing-1", "-lasts", "1h", "-for", "100ms"},
		"of a named shop":  {"hang", "pricing-1", "-lasts", "50ms", "-for", "100ms", "-addr", "127.0.0.1:8080"},
		"of any but store": {"hang", "-lasts", "50ms", "-for", "100ms"},
	} {
		out := s.chaos(t, args...)
		if !strings.Contains(out, "hang of pricing-") || strings.Contains(out, "hang storefront") {
			t.Errorf("%s: prints\n%s", name, out)
		}
		s.faults(t) // both answer
	}
	if got := restarts(s.States()); !slices.Equal(got, []int{0, 0, 0}) {
		t.Errorf("restarts %v", got)
	}
}

func TestFaultsAreSetAndTakenBack(t *testing.T) {
	for fault, want := range map[string]string{
		"slow": `{"mode":"slow","delay":"500ms","rate":0.5}{"mode":"none"}`,
		"fail": `{"mode":"fail","rate":0.5}{"mode":"none"}`,
	} {
		t.Run(fault, func(t *testing.T) {
			s := openShop(t)
			s.chaos(t, fault, "pricing", "-lasts", "20ms", "-for", "60ms")
			if got := s.faults(t); !slices.Equal(got, []string{want}) {
				t.Errorf("told %q, want one told %q", got, want)
			}
		})
	}
}

func TestOutageKeepsServiceDown(t *testing.T) {
	s := openShop(t)
	var out bytes.Buffer
	result := make(chan error, 1)
	began := time.Now()
	go func() {
		result <- Command(t.Context(), s.registry, []string{"outage", "pricing", "-lasts", "600ms", "-for", "1s"}, &out, io.Discard)
	}()
	eventually(t, "one is back", func() bool {
		return slices.ContainsFunc(s.States()[1:], func(st launch.State) bool { return st.Restarts > 0 && st.PID != 0 })
	})
	if d := time.Since(began); d < 600*time.Millisecond {
		t.Errorf("came back during the outage, after %v", d)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	s.ready(t)
	if got := restarts(s.States()); !slices.Equal(got, []int{0, 1, 1}) {
		t.Errorf("restarts %v, want the storefront to be spared\n%s", got, &out)
	}
}

func TestInterruptMends(t *testing.T) {
	s := openShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- Command(ctx, s.registry, []string{"outage", "pricing", "-lasts", "1h", "-for", "2h"}, w, io.Discard)
	}()
	go io.Copy(io.Discard, r)
	eventually(t, "both are down", func() bool { return s.States()[1].PID == 0 && s.States()[2].PID == 0 })
	cancel()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	s.ready(t)
}

func TestRollingRestart(t *testing.T) {
	s := openShop(t)
	var out bytes.Buffer
	if err := RestartCommand(t.Context(), s.registry, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := restarts(s.States()); !slices.Equal(got, []int{1, 1, 1}) {
		t.Errorf("restarts %v", got)
	}
	lines := strings.Split(out.String(), "\n")
	for i, name := range []string{"storefront-1", "pricing-1", "pricing-2"} {
		if !strings.Contains(lines[i], name) {
			t.Errorf("line %d is %q, want %s", i, lines[i], name)
		}
	}
	out.Reset()
	if err := RestartCommand(t.Context(), s.registry, []string{"pricing"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := restarts(s.States()); !slices.Equal(got, []int{1, 2, 2}) {
		t.Errorf("restarts %v", got)
	}
}

func TestRestartThatTakesTooLong(t *testing.T) {
	s := openShop(t)
	if err := s.registry.Hold("127.0.0.1:8080", "pricing", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	err := RestartCommand(t.Context(), s.registry, []string{"-timeout", "200ms", "pricing"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "pricing-1: not back after 200ms; 0 of 2 had been restarted") {
		t.Errorf("got %v", err)
	}
}

func TestWrongCommandLines(t *testing.T) {
	s := openShop(t)
	empty, err := launch.RegistryIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	type command func(context.Context, launch.Registry, []string, io.Writer, io.Writer) error
	for name, tc := range map[string]struct {
		command  command
		registry launch.Registry
		args     []string
		want     string
	}{
		"fault":           {Command, s.registry, []string{"explode"}, `"explode" is neither a fault (kill, term, hang, slow, fail, outage) nor a service`},
		"service":         {Command, s.registry, []string{"kill", "checkout"}, "instance of this shop (storefront, pricing)"},
		"too many words":  {Command, s.registry, []string{"kill", "pricing", "cart"}, `what is "cart"?`},
		"every":           {Command, s.registry, []string{"-every", "0s"}, "must be above 0"},
		"no shop":         {Command, empty, nil, "no shop is running; start one with"},
		"other shop":      {Command, s.registry, []string{"-addr", "127.0.0.1:1"}, "no shop is running at 127.0.0.1:1, but at 127.0.0.1:8080"},
		"restart service": {RestartCommand, s.registry, []string{"checkout"}, `"checkout" is neither a service nor an instance`},
		"restart no shop": {RestartCommand, empty, nil, "no shop is running"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.command(t.Context(), tc.registry, tc.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	if err := Command(t.Context(), launch.Registry{}, []string{"-h"}, io.Discard, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, a := range actions {
		if !strings.Contains(help.String(), "  "+a.name) {
			t.Errorf("help is silent about %s:\n%s", a.name, &help)
		}
	}
}
