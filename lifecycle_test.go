package gabion_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/internal/leaktest"
)

func lonely(t *testing.T, opts ...gabion.Option) *gabion.Service {
	t.Helper()
	svc, err := gabion.New("shop", append(opts, gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:other=127.0.0.1:1")))...)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestCloseBeforeRun(t *testing.T) {
	leaktest.Check(t)
	svc := lonely(t)
	svc.Go("loop", func(ctx context.Context) error { <-ctx.Done(); return nil })
	for range 2 {
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := svc.Run(t.Context()); !errors.Is(err, gabion.ErrStarted) {
		t.Errorf("Run after Close returned %v", err)
	}
}

func TestCloseDuringRun(t *testing.T) {
	leaktest.Check(t)
	for name, hold := range map[string]bool{"running": false, "starting": true} {
		t.Run(name, func(t *testing.T) {
			reached := make(chan struct{})
			opts := []gabion.Option{gabion.WithOnReady(func(*gabion.Service) { close(reached) })}
			if hold {
				opts = []gabion.Option{gabion.WithStartup("wait", func(ctx context.Context) error {
					close(reached)
					<-ctx.Done()
					return ctx.Err()
				})}
			}
			svc := lonely(t, opts...)
			ended := make(chan error, 2)
			for range 2 { // one of them comes too late
				go func() { ended <- svc.Run(context.Background()) }()
			}
			<-reached
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := svc.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if conn, err := net.Dial("tcp", svc.Addr()); err == nil {
				_ = conn.Close()
				t.Error("the listener is open after Close")
			}
			if err := errors.Join(<-ended, <-ended); !errors.Is(err, gabion.ErrStarted) || strings.Contains(err.Error(), "\n") {
				t.Errorf("two Runs returned %v, want nil and ErrStarted", err)
			}
		})
	}
}

// A step that hangs or panics takes nothing from the others.
func TestStopSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the steps' own time is exact there
		svc := lonely(t)
		var left time.Duration
		svc.OnStop("last", func(ctx context.Context) error {
			d, _ := ctx.Deadline()
			left = time.Until(d)
			return nil
		})
		free := make(chan struct{})
		defer close(free)
		svc.OnStop("deaf", func(context.Context) error { <-free; return nil })
		svc.OnStop("panics", func(context.Context) error { panic("oh") })
		err := svc.Close()
		if err == nil || !strings.Contains(err.Error(), "stop deaf: did not end") || !strings.Contains(err.Error(), "stop panics: panic: oh") {
			t.Errorf("Close returned %v", err)
		}
		if left != 3*time.Second {
			t.Errorf("the last step had %v, want 3 s of its own", left)
		}
	})
}

func TestPanicWhenReady(t *testing.T) {
	leaktest.Check(t)
	svc := lonely(t, gabion.WithOnReady(func(*gabion.Service) { panic("oh") }))
	if err := svc.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "when ready: panic: oh") {
		t.Errorf("Run returned %v", err)
	}
}

// Signals, in a process of their own.
func TestSignals(t *testing.T) {
	if mode := os.Getenv("GABION_TEST_CHILD"); mode != "" {
		child(t, mode)
	}
	for name, tc := range map[string]struct{ signals, code int }{
		"running":  {1, 0},
		"starting": {1, 0},
		"hanging":  {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestSignals$")
			cmd.Env = append(os.Environ(), "GABION_TEST_CHILD="+name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 1)
			for range tc.signals { // the child says when it is ready for one
				if _, err := out.Read(line); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tc.code {
				t.Errorf("exit code %d, want %d", got, tc.code)
			}
		})
	}
}

func child(t *testing.T, mode string) {
	say := func() { fmt.Print(".") }
	opts := []gabion.Option{gabion.WithOnReady(func(*gabion.Service) { say() })}
	if mode == "starting" {
		opts = []gabion.Option{gabion.WithStartup("wait", func(ctx context.Context) error {
			say()
			<-ctx.Done()
			return ctx.Err()
		})}
	}
	svc := lonely(t, opts...)
	if mode == "hanging" {
		svc.Go("deaf", func(ctx context.Context) error {
			<-ctx.Done()
			say()
			select {}
		})
	}
	if err := svc.Run(context.Background()); err != nil {
		os.Exit(3)
	}
	os.Exit(0)
}
