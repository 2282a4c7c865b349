package chaos

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// hit is one fault while it lasts.
type hit struct {
	monkey  *monkey
	service string
	targets []launch.State
	lasts   time.Duration
}

// action is one way to break things.
type action struct {
	name, help string
	whole      bool          // hits all instances of a service, not one
	lasts      time.Duration // default; zero if the fault is over at once
	watch      string        // what to look for
	do         func(context.Context, hit) error
	// undo mends what do has broken. Its targets are those still alive. Nil
	// where the launcher mends it: it restarts whatever ends.
	undo func(context.Context, hit) error
}

// actions are all there are, in the order of the help text.
var actions = []action{
	{
		name: "kill", help: "end an instance with SIGKILL, as a crash or the OOM killer would",
		watch: "no failed call where another instance is left; the launcher starts it again",
		do:    each(func(_ context.Context, _ hit, st launch.State) error { return send(st.PID, os.Kill) }),
	},
	{
		name: "term", help: "end an instance with SIGTERM, as a deployment would",
		watch: "it leaves the registry, finishes what it has begun, and is started again: no failed call",
		do:    each(func(_ context.Context, _ hit, st launch.State) error { return send(st.PID, syscall.SIGTERM) }),
	},
	{
		name: "hang", help: "stop an instance with SIGSTOP, then let it go on", lasts: 4 * time.Second,
		watch: "calls to it time out once and go elsewhere; one that stays silent for 5 probes is killed by the launcher",
		do:    each(func(_ context.Context, _ hit, st launch.State) error { return launch.Freeze(st.PID) }),
		undo:  each(func(_ context.Context, _ hit, st launch.State) error { return launch.Thaw(st.PID) }),
	},
	{
		name: "slow", help: "delay half of the answers of an instance by 500 ms", lasts: 5 * time.Second,
		watch: "callers prefer the other instances: p99 rises, p50 does not",
		do:    each(setFault(`{"mode":"slow","delay":"500ms","rate":0.5}`)),
		undo:  each(setFault(`{"mode":"none"}`)),
	},
	{
		name: "fail", help: "answer half of the requests to an instance with an error", lasts: 5 * time.Second,
		watch: "retries hide it; after some errors in a row callers leave the instance out",
		do:    each(setFault(`{"mode":"fail","rate":0.5}`)),
		undo:  each(setFault(`{"mode":"none"}`)),
	},
	{
		name: "outage", help: "kill all instances of a service and keep them down", lasts: 10 * time.Second, whole: true,
		watch: "the page stays up and says what it does without; callers stop calling, and begin again after the end",
		do:    startOutage,
		undo:  endOutage,
	},
}

func startOutage(ctx context.Context, h hit) error {
	// A little longer than it lasts: the end is ours, the time is for when we
	// do not live to see it.
	until := time.Now().Add(h.lasts + time.Second)
	if err := h.monkey.registry.Hold(h.monkey.addr, h.service, until); err != nil {
		return err
	}
	return each(func(_ context.Context, _ hit, st launch.State) error { return send(st.PID, os.Kill) })(ctx, h)
}

func endOutage(_ context.Context, h hit) error {
	return h.monkey.registry.Unhold(h.monkey.addr, h.service)
}

// each does one thing to every target and joins the errors.
func each(do func(context.Context, hit, launch.State) error) func(context.Context, hit) error {
	return func(ctx context.Context, h hit) error {
		var errs []error
		for _, st := range h.targets {
			errs = append(errs, do(ctx, h, st))
		}
		return errors.Join(errs...)
	}
}

// setFault sends body to the fault switch on the admin listener.
func setFault(body string) func(context.Context, hit, launch.State) error {
	return func(ctx context.Context, h hit, st launch.State) error {
		return h.monkey.setFault(ctx, st, body)
	}
}

// send sends sig to a process. One that is gone already is no error.
func send(pid int, sig os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := p.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
