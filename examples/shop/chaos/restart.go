package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

const restartUsage = `usage: shop restart [flags] [service or instance ...]

Restarts the shop that runs on this machine as a deployment does: instance after
instance is asked to end with SIGTERM, and the next has its turn when the one
before is back and ready. Without arguments every instance of every service. No
call that has another instance to go to should fail meanwhile.

flags:
`

// RestartCommand is the command line of a rolling restart: args are the words
// behind "shop restart". It returns [flag.ErrHelp] after -h.
func RestartCommand(ctx context.Context, registry launch.Registry, args []string, stdout, stderr io.Writer) error {
	r := restarter{
		registry: registry, out: stdout,
		client: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	flags := flag.NewFlagSet("shop restart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, restartUsage); flags.PrintDefaults() }
	flags.StringVar(&r.addr, "addr", "", "storefront's `host:port`, if several shops run")
	flags.DurationVar(&r.timeout, "timeout", time.Minute, "longest wait for one instance to be back")
	words, err := launch.ParseFlags(flags, args)
	if err != nil {
		return err
	}
	shop, err := registry.Find(r.addr)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	r.addr = shop.Storefront
	chosen, err := choose(shop.Children, words)
	if err != nil {
		return err
	}
	return r.restartAll(ctx, chosen)
}

// choose returns the children that words name; without words all of them.
func choose(children []launch.State, words []string) ([]launch.State, error) {
	if len(words) == 0 {
		return children, nil
	}
	var chosen []launch.State
	for _, word := range words {
		before := len(chosen)
		for _, st := range children {
			if st.Service == word || st.Name() == word {
				chosen = append(chosen, st)
			}
		}
		if len(chosen) == before {
			return nil, launch.Usagef("restart: %q is neither a service nor an instance of this shop; see shop status", word)
		}
	}
	return chosen, nil
}

// restarter restarts instances of one shop.
type restarter struct {
	registry launch.Registry
	addr     string
	timeout  time.Duration
	client   *http.Client
	out      io.Writer
}

func (r *restarter) restartAll(ctx context.Context, children []launch.State) error {
	for i, st := range children {
		began := time.Now()
		was, now, err := r.restart(ctx, st.Name())
		if err != nil {
			return fmt.Errorf("restart: %s: %w; %d of %d had been restarted", st.Name(), err, i, len(children))
		}
		fmt.Fprintf(r.out, "%s  %-12s pid %d, back as %d and ready after %.1f s (%d of %d)\n",
			time.Now().Format(time.TimeOnly), st.Name(), was.PID, now.PID, time.Since(began).Seconds(), i+1, len(children))
	}
	return nil
}

// restart ends one instance and returns how it has come back. One that is down
// already has its turn once it is up.
func (r *restarter) restart(ctx context.Context, name string) (was, now launch.State, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("not back after %v", r.timeout))
	defer cancel()
	was, err = r.await(ctx, name, launch.State.Ready)
	if err != nil {
		return was, now, err
	}
	if err := send(was.PID, syscall.SIGTERM); err != nil {
		return was, now, err
	}
	now, err = r.await(ctx, name, func(st launch.State) bool {
		return st.PID != was.PID && launch.Readiness(ctx, r.client, st) == launch.Ready
	})
	return was, now, err
}

// await returns the state of an instance when it is ok.
func (r *restarter) await(ctx context.Context, name string, ok func(launch.State) bool) (launch.State, error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		shop, err := r.registry.Find(r.addr)
		if err != nil {
			return launch.State{}, err
		}
		i := slices.IndexFunc(shop.Children, func(st launch.State) bool { return st.Name() == name })
		if i >= 0 && ok(shop.Children[i]) {
			return shop.Children[i], nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return launch.State{}, context.Cause(ctx)
		}
	}
}
