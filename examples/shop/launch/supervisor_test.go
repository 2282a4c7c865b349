//go:build unix

package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own child: with this variable set it plays the part
// that the variable names.
const roleVar = "LAUNCH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
		os.Exit(m.Run())
	case "service": // well-behaved
		serve(nil)
	case "deaf": // does not end when asked to
		serve([]os.Signal{syscall.SIGTERM})
	case "crash": // ends right after the start
		fmt.Print("last words")
		os.Exit(3)
	case "mute": // never reports itself ready
		select {}
	case "launcher":
		launcher()
	}
}

// serve answers /livez until SIGTERM and then writes its name into the file
// that the first argument names.
func serve(ignore []os.Signal) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if ignore != nil {
		signal.Ignore(ignore...)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	report := Report{Addr: l.Addr().String(), Admin: l.Addr().String(), PID: os.Getpid()}
	if err := json.NewEncoder(os.NewFile(ReportFD, "report")).Encode(report); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	<-stop
	f, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, os.Args[2])
	f.Close()
}

// launcher supervises two services and prints their process ids.
func launcher() {
	s := New(Config{
		Processes: []Process{process("service", "a", 1, 0, os.Args[1]), process("service", "a", 2, 0, os.Args[1])},
		Output:    NewOutput(os.Stderr, false),
	})
	go func() {
		if s.WaitReady(context.Background()) == nil {
			for _, st := range s.States() {
				fmt.Println(st.PID)
			}
		}
		os.Stdout.Close()
	}()
	fmt.Fprintln(os.Stderr, s.Run(context.Background()))
}

// process makes the test binary play role. Its end is noted in endings.
func process(role, service string, replica, tier int, endings string) Process {
	p := Process{Service: service, Replica: replica, Tier: tier, Path: os.Args[0], Env: []string{roleVar + "=" + role, "GORACE=atexit_sleep_ms=0"}}
	p.Args = []string{endings, p.Name()}
	return p
}

// fast keeps the tests short. It does not probe: a process that gets no CPU for
// a while would be taken for one that hangs.
var fast = Timing{
	ProbeEvery: time.Hour,
	BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond, BackoffReset: time.Hour,
}

// running is a Supervisor under test.
type running struct {
	*Supervisor
	out     *safeBuffer
	endings string // file with the names of those that ended well, in order
	stop    context.CancelFunc
	result  chan error
}

func start(t *testing.T, cfg Config, plan func(endings string) []Process) *running {
	t.Helper()
	r := &running{out: &safeBuffer{}, endings: filepath.Join(t.TempDir(), "endings"), result: make(chan error, 1)}
	cfg.Processes = plan(r.endings)
	cfg.Output = NewOutput(r.out, false)
	r.Supervisor = New(cfg)
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.result <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		r.Kill()
		if t.Failed() {
			t.Log(r.out.String())
		}
	})
	return r
}

// drained stops the supervisor and returns what Run returned.
func (r *running) drained(t *testing.T) error {
	t.Helper()
	pids := r.pids()
	r.stop()
	select {
	case err := <-r.result:
		for _, pid := range pids {
			if alive(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

func (r *running) pids() (pids []int) {
	for _, st := range r.States() {
		if st.PID != 0 {
			pids = append(pids, st.PID)
		}
	}
	return pids
}

func (r *running) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *running) ended(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(r.endings)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

// eventually polls until ok or fails the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestDrainEndsTierAfterTier(t *testing.T) {
	r := start(t, Config{}, func(endings string) []Process {
		return []Process{
			process("service", "pricing", 1, 2, endings),
			process("service", "storefront", 1, 0, endings),
			process("service", "cart", 1, 1, endings),
		}
	})
	r.ready(t)
	if err := r.drained(t); err != nil {
		t.Fatal(err)
	}
	if got, want := r.ended(t), "storefront-1 cart-1 pricing-1"; got != want {
		t.Errorf("ended %q, want %q", got, want)
	}
	for _, want := range []string{"pricing-1    | ready\n", "storefront-1 | ready\n", "cart-1       | ready\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no line %q", want)
		}
	}
}

func TestRestartAfterKill(t *testing.T) {
	r := start(t, Config{Timing: fast}, func(endings string) []Process {
		return []Process{process("service", "pricing", 1, 0, endings)}
	})
	r.ready(t)
	was := r.States()[0]
	if err := syscall.Kill(was.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another life", func() bool { return r.States()[0].Restarts == 1 })
	r.ready(t)
	if now := r.States()[0]; now.PID == was.PID || now.Addr == was.Addr {
		t.Errorf("still %+v", now)
	}
	if want := fmt.Sprintf("pricing-1 (pid %d) died of signal 9 (killed); starting again in 10ms", was.PID); !strings.Contains(r.out.String(), want) {
		t.Errorf("no line %q", want)
	}
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
}

func TestRestartAfterCrash(t *testing.T) {
	r := start(t, Config{Timing: fast}, func(endings string) []Process {
		return []Process{process("crash", "cart", 1, 0, endings)}
	})
	eventually(t, "three crashes", func() bool { return r.States()[0].Restarts >= 3 })
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"cart-1 | last words\n", "exited with status 3; starting again in 10ms\n", "in 20ms\n", "in 40ms\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestProgramThatDoesNotExist(t *testing.T) {
	r := start(t, Config{Timing: fast}, func(endings string) []Process {
		return []Process{{Service: "cart", Replica: 1, Path: filepath.Join(t.TempDir(), "absent")}}
	})
	eventually(t, "said", func() bool { return strings.Contains(r.out.String(), "cart-1 could not be started: ") })
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
}

func TestHungProcessIsKilledAndRestarted(t *testing.T) {
	timing := fast
	timing.ProbeEvery, timing.ProbeTimeout, timing.ProbeFailures = 20*time.Millisecond, 200*time.Millisecond, 2
	r := start(t, Config{Timing: timing}, func(endings string) []Process {
		return []Process{process("service", "cart", 1, 0, endings)}
	})
	r.ready(t)
	pid := 0 // on a busy machine a life that is well can be over before it is frozen
	eventually(t, "frozen", func() bool { pid = r.States()[0].PID; return pid != 0 && Freeze(pid) == nil })
	want := fmt.Sprintf("(pid %d) was killed: no answer on /livez, 2 times in a row", pid)
	eventually(t, "killed", func() bool { return strings.Contains(r.out.String(), want) })
	eventually(t, "another life", func() bool { st := r.States()[0]; return st.Ready() && st.PID != pid })
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
}

func TestProcessThatNeverReportsIsRestarted(t *testing.T) {
	timing := fast
	timing.StartTimeout = 100 * time.Millisecond
	r := start(t, Config{Timing: timing}, func(endings string) []Process {
		return []Process{process("mute", "cart", 1, 0, endings)}
	})
	eventually(t, "another life", func() bool { return r.States()[0].Restarts >= 1 })
	if want := "was killed: not ready within 100ms"; !strings.Contains(r.out.String(), want) {
		t.Errorf("no %q", want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "not ready: cart-1") {
		t.Errorf("WaitReady: %v", err)
	}
	if err := r.drained(t); err != nil && !strings.Contains(err.Error(), "cart-1") {
		t.Error(err)
	}
}

func TestFrozenProcessDrains(t *testing.T) {
	slow := Timing{ProbeEvery: time.Hour}
	r := start(t, Config{Timing: slow}, func(endings string) []Process {
		return []Process{process("service", "cart", 1, 0, endings)}
	})
	r.ready(t)
	if err := Freeze(r.States()[0].PID); err != nil {
		t.Fatal(err)
	}
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
	if got := r.ended(t); got != "cart-1" {
		t.Errorf("ended %q", got)
	}
}

func TestDrainKillsWhatDoesNotEnd(t *testing.T) {
	r := start(t, Config{Timing: Timing{DrainTimeout: 100 * time.Millisecond}}, func(endings string) []Process {
		return []Process{process("deaf", "cart", 1, 0, endings), process("service", "pricing", 1, 1, endings)}
	})
	r.ready(t)
	err := r.drained(t)
	if err == nil || !strings.Contains(err.Error(), "did not end within 100ms: cart-1") {
		t.Errorf("got %v", err)
	}
	if got := r.ended(t); got != "pricing-1" && !strings.HasSuffix(err.Error(), ", pricing-1") {
		t.Errorf("ended %q, want the next tier to have had its 100 ms, too", got)
	}
}

func TestKillCutsDrainShort(t *testing.T) {
	r := start(t, Config{}, func(endings string) []Process {
		return []Process{process("deaf", "cart", 1, 0, endings), process("service", "pricing", 1, 1, endings)}
	})
	r.ready(t)
	r.stop()
	eventually(t, "draining", func() bool { return strings.Contains(r.out.String(), "draining cart-1") })
	r.Kill()
	if err := r.drained(t); !errors.Is(err, ErrKilled) {
		t.Errorf("got %v, want ErrKilled", err)
	}
}

var heldDown = regexp.MustCompile(`catalog-1 is held down for (\S+)\n`)

func TestHeldServiceStaysDown(t *testing.T) {
	var until atomic.Pointer[time.Time]
	until.Store(&time.Time{})
	held := func(service string) time.Time {
		if service != "catalog" {
			return time.Time{}
		}
		return *until.Load()
	}
	r := start(t, Config{Timing: fast, HeldUntil: held}, func(endings string) []Process {
		return []Process{process("service", "catalog", 1, 0, endings), process("service", "pricing", 1, 0, endings)}
	})
	r.ready(t)
	later := time.Now().Add(time.Hour)
	until.Store(&later)
	for _, pid := range r.pids() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, "pricing is back", func() bool { return r.States()[1].Restarts == 1 && r.States()[1].Ready() })
	var said []string
	eventually(t, "said", func() bool { said = heldDown.FindStringSubmatch(r.out.String()); return said != nil })
	if d, err := time.ParseDuration(said[1]); err != nil || d > time.Hour || d < time.Until(later).Round(time.Second) {
		t.Errorf("held down for %v (%v), want the rest of the hour", d, err)
	}
	if st := r.States()[0]; st.PID != 0 {
		t.Fatalf("catalog runs: %+v", st)
	}
	until.Store(&time.Time{})
	r.ready(t)
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
}

func TestChangedHearsEveryLife(t *testing.T) {
	var mu sync.Mutex
	var last []State
	r := start(t, Config{Timing: fast, Changed: func(states []State) {
		mu.Lock()
		defer mu.Unlock()
		last = states
	}}, func(endings string) []Process {
		return []Process{process("service", "cart", 2, 0, endings)}
	})
	r.ready(t)
	syscall.Kill(r.States()[0].PID, syscall.SIGKILL)
	eventually(t, "told of the second life", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(last) == 1 && last[0].Name() == "cart-2" && last[0].Restarts == 1 && last[0].Ready()
	})
	if err := r.drained(t); err != nil {
		t.Error(err)
	}
}

func TestListenerOutlivesProcess(t *testing.T) {
	// Only that the descriptor arrives: whether callers queue is the kernel's.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := &safeBuffer{}
	s := New(Config{Output: NewOutput(out, false), Processes: []Process{{
		Service: "storefront", Replica: 1, Listener: f, Path: "/bin/sh",
		Args: []string{"-c", "test -S /dev/fd/5 && echo inherited; exec sleep 60"},
	}}})
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	eventually(t, "inherited", func() bool { return strings.Contains(out.String(), "storefront-1 | inherited") })
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestNoChildOutlivesKilledLauncher(t *testing.T) {
	cmd := exec.Command(os.Args[0], filepath.Join(t.TempDir(), "endings"))
	cmd.Env = append(os.Environ(), roleVar+"=launcher")
	var out bytes.Buffer
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadFrom(stdout); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, line := range strings.Fields(out.String()) {
		pid, err := strconv.Atoi(line)
		if err != nil || !alive(pid) {
			t.Fatalf("child %q: %v", line, err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("children %v, want 2", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for _, pid := range pids {
		eventually(t, "gone with its launcher", func() bool { return !alive(pid) })
	}
}
