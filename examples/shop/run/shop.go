package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/launch"
)

// Shop is the command line of the launcher: args are the words behind "shop".
// It opens the shop, keeps it running and returns after SIGINT, SIGTERM or
// SIGHUP when all of it has drained. A second signal ends everything at once;
// then the error is [launch.ErrKilled]. It returns [flag.ErrHelp] after -h.
func Shop(registry launch.Registry, args []string, stdout, stderr io.Writer) error {
	set, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // whoever reads our output may leave; the shop still drains
	s, err := prepare(registry, set, stdout)
	if err != nil {
		return err
	}
	return errors.Join(s.run(), s.close())
}

// shop is one running launcher.
type shop struct {
	set       settings
	addr      string   // of the page
	page      *os.File // the socket that listens there
	data      string   // folder of the stores
	claim     *launch.Claim
	discovery string
	out       *launch.Output
	began     time.Time
	closers   []func() error // run in reverse order at the end
}

// prepare gets everything that the children need, or says what is in the way.
func prepare(registry launch.Registry, set settings, stdout io.Writer) (*shop, error) {
	s := &shop{set: set, out: launch.NewOutput(stdout, set.color), began: time.Now()}
	for _, step := range []func() error{
		s.listen,
		func() error { return s.takePlace(registry) },
		s.openData,
		s.openDiscovery,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// listen opens the socket of the page. The launcher keeps it and the storefront
// inherits it, so that between two lives of the storefront callers queue and are
// not refused.
func (s *shop) listen() error {
	l, err := net.Listen("tcp", s.set.addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("shop: %s is taken by another program, perhaps by another shop; choose another address with -addr, such as -addr 127.0.0.1:0 for any free port", s.set.addr)
	case err != nil:
		return fmt.Errorf("shop: the storefront cannot listen at -addr %s: %w", s.set.addr, err)
	}
	defer l.Close() // the socket lives on in the file
	s.addr = l.Addr().String()
	if s.page, err = l.(*net.TCPListener).File(); err != nil {
		return fmt.Errorf("shop: the storefront's socket: %w", err)
	}
	return nil
}

// takePlace makes the shop known to the other commands.
func (s *shop) takePlace(registry launch.Registry) error {
	claim, err := registry.Claim(s.addr)
	if errors.Is(err, launch.ErrLocked) {
		return fmt.Errorf("shop: another shop has its place at %s; stop it, or choose another address with -addr", s.addr)
	}
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	s.claim = claim
	s.atEnd(claim.Release)
	return nil
}

// openData makes the folder of each service's stores.
func (s *shop) openData() error {
	s.data = s.set.data
	if s.data == "" {
		dir, err := os.MkdirTemp("", "gabion-shop-")
		if err != nil {
			return fmt.Errorf("shop: a temporary folder for the stores: %w; name another with -data", err)
		}
		s.data = dir
		s.atEnd(func() error { return os.RemoveAll(dir) })
	}
	for _, p := range s.set.plan {
		if err := os.MkdirAll(filepath.Join(s.data, p.name), 0o700); err != nil {
			return fmt.Errorf("shop: the stores' folder (-data): %w", err)
		}
	}
	unlock, err := launch.Lock(filepath.Join(s.data, ".lock"))
	if errors.Is(err, launch.ErrLocked) {
		return fmt.Errorf("shop: another shop uses the stores in %s; choose another folder with -data", s.data)
	}
	if err != nil {
		return fmt.Errorf("shop: the stores' folder (-data): %w", err)
	}
	s.atEnd(unlock)
	return nil
}

// openDiscovery settles how the services find each other. Without a URL they
// gossip, and the launcher itself is the member that all of them join, so that
// this shop is never mixed with another on the machine.
func (s *shop) openDiscovery() error {
	if s.discovery = s.set.discovery; s.discovery != "" {
		return checkDiscovery(s.discovery)
	}
	seed, err := openSeed()
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	s.discovery = seed.url
	s.atEnd(seed.close)
	return nil
}

func (s *shop) atEnd(f func() error) { s.closers = append(s.closers, f) }

func (s *shop) close() error {
	errs := []error{s.closePage()}
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// closePage gives the socket of the page up. Only the storefront still has it.
func (s *shop) closePage() error {
	if err := s.page.Close(); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, os.ErrInvalid) {
		return fmt.Errorf("shop: the storefront's socket: %w", err)
	}
	return nil
}

// run starts all processes and returns when none is left.
func (s *shop) run() error {
	processes, err := s.processes()
	if err != nil {
		return err
	}
	sup := launch.New(launch.Config{
		Processes: processes, Output: s.out, Quiet: s.set.quiet,
		Changed: s.changed, HeldUntil: s.claim.HeldUntil,
	})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() { s.listenToSignals(sup, cancel, over) })
	helpers.Go(func() { s.open(ctx, sup) })
	// Once the storefront has closed the page, callers are to be refused.
	context.AfterFunc(ctx, func() { _ = s.closePage() })
	err = sup.Run(ctx)
	cancel()
	close(over)
	helpers.Wait()
	if err == nil {
		s.say("\nThe shop is closed.\n")
	}
	return err
}

// changed keeps the run file up to date.
func (s *shop) changed(states []launch.State) {
	f := launch.RunFile{Launcher: os.Getpid(), Storefront: s.addr, Started: s.began, Children: states}
	if err := s.claim.Write(f); err != nil {
		s.out.Print(fmt.Sprintf("shop: other commands cannot see this shop: %v\n", err))
	}
}

// listenToSignals calls drain at the first signal, or when the "go run" that
// started this program is gone, and kills at the second. It returns when over
// closes.
func (s *shop) listenToSignals(sup *launch.Supervisor, drain func(), over <-chan struct{}) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	parent := watchGoRun()
	defer parent.stop()
	for closing := false; ; {
		select {
		case <-over:
			return
		case <-parent.poll():
			if !parent.gone() {
				continue
			}
			parent.stop()
			s.say("\nClosing the shop (go run has ended).\n")
		case sig := <-signals:
			if closing {
				s.say("\nKilling all that is left.\n")
				sup.Kill()
				continue
			}
			s.say("\nClosing the shop (%v). Once more, and it is killed.\n", sig)
		}
		closing = true
		drain()
	}
}

// open waits until everything is ready and tells the visitor where to go.
func (s *shop) open(ctx context.Context, sup *launch.Supervisor) {
	for ctx.Err() == nil {
		waiting, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := sup.WaitReady(waiting)
		if err == nil {
			err = reachable(waiting, s.addr)
		}
		cancel()
		if err == nil {
			s.say("%s", s.welcome(sup.States()))
			return
		}
		if ctx.Err() == nil {
			s.out.Print(fmt.Sprintf("shop: not open yet: %v; still trying\n", err))
		}
	}
}

// reachable returns once the page is there, or an error when ctx ends.
func reachable(ctx context.Context, addr string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			return fmt.Errorf("the page: %w", err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("the page answers %s", resp.Status)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *shop) say(format string, args ...any) {
	if !s.set.quiet {
		s.out.Print(fmt.Sprintf(format, args...))
	}
}

// checkDiscovery finds out at once what every child would die of, again and
// again: a URL that gabion cannot open. A gossip URL is left to them, as opening
// it takes an address that one of them may want.
func checkDiscovery(url string) error {
	if strings.HasPrefix(url, "gossip:") {
		return nil
	}
	svc, err := gabion.New("shop", gabion.WithLogger(slog.New(slog.DiscardHandler)), gabion.WithGetenv(func(key string) string {
		if key == "GABION_DISCOVERY" {
			return url
		}
		return ""
	}))
	if err != nil {
		return launch.Usagef("shop: -discovery %s: %v", url, err)
	}
	return svc.Close()
}
