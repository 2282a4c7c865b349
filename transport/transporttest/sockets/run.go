package sockets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Run runs s on real sockets and returns the report. targets has, by service,
// as many servers as s has replicas: the first is host 1. Run takes as long as s
// says, and ends everything with tb; a server that was killed without being
// started again is the caller's to clean up.
//
// A scenario that is not valid, or has faults that real servers cannot have,
// fails tb at once, as do errors of the targets' functions.
func Run(tb testing.TB, s transporttest.Scenario, targets map[string][]Target, opts ...transporttest.RunOption) *report.Report {
	tb.Helper()
	if err := check(s, targets); err != nil {
		tb.Fatal(err)
	}
	r := &runner{tb: tb, scenario: s}
	defer r.over.Store(true)
	all := []transporttest.RunOption{transporttest.WithVia(Gabion), transporttest.WithAwait(r.starting.Wait)}
	for _, spec := range s.Services {
		all = append(all, transporttest.WithProgram(spec.Name, r.program(spec.Name, targets[spec.Name])))
	}
	return s.RunIn(tb, append(all, opts...)...)
}

// check reports, joined, why s cannot be run on targets.
func check(s transporttest.Scenario, targets map[string][]Target) error {
	errs := []error{s.Validate()}
	for _, spec := range s.Services {
		if want, got := max(1, spec.Replicas), len(targets[spec.Name]); got != want {
			errs = append(errs, fmt.Errorf("sockets: service %q: it has %d replicas and %d targets; name a server for each", spec.Name, want, got))
		}
	}
	for name, some := range targets {
		if !slices.ContainsFunc(s.Services, func(spec transporttest.ServiceSpec) bool { return spec.Name == name }) {
			errs = append(errs, fmt.Errorf("sockets: service %q: it has targets, but is not in the scenario", name))
		}
		for i, t := range some {
			if t.Addr == "" {
				errs = append(errs, fmt.Errorf("sockets: service %q: target %d has no address", name, i+1))
			}
		}
	}
	for _, f := range s.Faults {
		if f.Kind == transporttest.ClockJump {
			errs = append(errs, fmt.Errorf("sockets: fault %v: the clock of a real server cannot be set; run it in a bubble", f))
		}
	}
	return errors.Join(errs...)
}

// runner is one run on real servers.
type runner struct {
	tb       testing.TB
	scenario transporttest.Scenario
	starting sync.WaitGroup // hosts that nobody has found yet
	over     atomic.Bool    // the report is made: the servers are left in peace
}

// program returns what the hosts of a service run.
func (r *runner) program(service string, targets []Target) transporttest.Main {
	hosts, programs := map[string]Target{}, map[string]transporttest.Main{}
	for i, t := range targets {
		host := fmt.Sprintf("%s-%d", service, i+1)
		t.HTTP = t.HTTP || slices.ContainsFunc(r.faults(service, host), ofHandlers)
		r.starting.Add(1)
		t.found = sync.OnceFunc(r.starting.Done)
		hosts[host] = r.watched(host, t)
		programs[host] = hosts[host].Program()
	}
	return func(ctx context.Context, p *transporttest.Process) error {
		t, program := hosts[p.Host().Name()], programs[p.Host().Name()]
		defer t.found() // or is never
		// Watched functions report their errors themselves.
		p.OnPause(func() { _ = t.Pause() }, func() { _ = t.Resume() })
		return program(ctx, p)
	}
}

// faults returns those that fall upon a host of a service.
func (r *runner) faults(service, host string) []transporttest.Fault {
	var some []transporttest.Fault
	for _, f := range r.scenario.Faults {
		if f.On == host || f.On == service || f.On == transporttest.Everyone {
			some = append(some, f)
		}
	}
	return some
}

// ofHandlers reports whether f falls upon handlers, or upon what they work with.
func ofHandlers(f transporttest.Fault) bool {
	return slices.Contains([]transporttest.Kind{
		transporttest.Slow, transporttest.Status, transporttest.Panic, transporttest.Cut, transporttest.Queue, transporttest.CPU,
	}, f.Kind)
}

// watched returns t with functions that are called one after the other and that
// fail the test with their error. Once the run is over nothing is done to t any
// more, but what was paused is resumed.
func (r *runner) watched(host string, t Target) Target {
	var mu sync.Mutex
	wrap := func(what string, f func() error) func() error {
		return func() error {
			mu.Lock()
			defer mu.Unlock()
			if f == nil || r.over.Load() && what != "resume" {
				return nil
			}
			if err := f(); err != nil {
				r.tb.Errorf("sockets: %s %s: %v", what, host, err)
			}
			return nil
		}
	}
	t.Crash, t.Stop, t.Start = wrap("crash", t.Crash), wrap("stop", t.Stop), wrap("start", t.Start)
	t.Pause, t.Resume = wrap("pause", t.Pause), wrap("resume", t.Resume)
	return t
}
