package transporttest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Run runs s in a bubble of its own and returns the report. A scenario that is
// not valid, and what goes wrong in the test's own machinery, such as a panic,
// fails tb at once. If tb fails later, its log has the timeline.
//
// The client under test is gabion's, or that of [WithVia]. Two runs of the same
// scenario with two clients compare them: both meet the same load and the same
// faults. Run must not be called in a bubble.
func (s Scenario) Run(tb testing.TB, opts ...RunOption) *report.Report {
	tb.Helper()
	cfg := newRunConfig(tb, opts)
	s.Name = cmp.Or(s.Name, tb.Name())
	s.Seed = cmp.Or(s.Seed, seedFromEnv(tb))
	r, err := s.try(tb.Name(), cfg, nil)
	if err != nil {
		tb.Fatal(failure(tb.Name(), s.Seed, err))
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(timeline(r))
		}
	})
	return r
}

// RunIn is [Scenario.Run] in the bubble of the caller, or in none: then it takes
// real time, and no seed makes it the same again. Package sockets uses it so.
// The network ends when tb does.
func (s Scenario) RunIn(tb testing.TB, opts ...RunOption) *report.Report {
	tb.Helper()
	cfg := newRunConfig(tb, opts)
	s.Name = cmp.Or(s.Name, tb.Name())
	s.Seed = cmp.Or(s.Seed, seedFromEnv(tb))
	if err := s.ready(cfg); err != nil {
		tb.Fatal(err)
	}
	return s.run(tb, cfg)
}

// Do is [Scenario.Run] for programs that are no tests: what would fail the test
// is an error. The default seed is 1.
func (s Scenario) Do(opts ...RunOption) (*report.Report, error) {
	cfg, err := readRunConfig(opts)
	if err != nil {
		return nil, err
	}
	s.Seed = cmp.Or(s.Seed, 1)
	return s.try(cmp.Or(s.Name, "scenario"), cfg, nil)
}

// try runs s in a bubble called name. What is wrong is an error: of s, of what
// runs in the bubble, or of check, which may be nil.
func (s Scenario) try(name string, cfg *runConfig, check func(*report.Report) error) (r *report.Report, err error) {
	if err := s.ready(cfg); err != nil {
		return nil, err
	}
	err = inBubble(name, s.Seed, func(tb testing.TB) {
		r = s.run(tb, cfg)
		if check == nil {
			return
		}
		if err := check(r); err != nil {
			tb.Errorf("check: %v", err)
		}
	})
	return r, err
}

// ready reports why s cannot be run.
func (s Scenario) ready(cfg *runConfig) error {
	errs := []error{s.Validate()}
	for _, name := range slices.Sorted(maps.Keys(cfg.programs)) {
		if !slices.ContainsFunc(s.Services, func(spec ServiceSpec) bool { return spec.Name == name }) {
			errs = append(errs, fmt.Errorf("transporttest: there is a handler or program for service %q, which is not in the scenario", name))
		}
	}
	for _, file := range s.unread() {
		errs = append(errs, fmt.Errorf("transporttest: file %q has not been read: use Scenario.ReadFiles", file))
	}
	return errors.Join(errs...)
}

// unread lists the files that s names.
func (s Scenario) unread() []string {
	files := []string{s.Latency.File}
	for _, spec := range s.Services {
		files = append(files, spec.Behaviour.Work.File)
	}
	for _, l := range s.Loads {
		files = append(files, l.File, l.Think.File)
	}
	for _, f := range s.Faults {
		files = append(files, f.Latency.File, f.Work.File)
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// run runs s, which is valid, in the bubble of tb.
func (s Scenario) run(tb testing.TB, cfg *runConfig) *report.Report {
	tb.Helper()
	opts := []Option{WithSeed(s.Seed)}
	if s.Name != "" {
		opts = append(opts, WithName(s.Name))
	}
	if isSet(s.Latency) {
		opts = append(opts, WithLatency(s.Latency))
	}
	n := New(tb, append(opts, cfg.network...)...)
	for _, spec := range s.Services {
		spec.launch(n, cfg)
	}
	for _, l := range s.Loads {
		n.Host(l.Client) // faults may name it
	}
	if cfg.await != nil {
		cfg.await()
	}
	began := n.Since()
	n.Fault(s.Faults...)
	n.RunVia(cfg.via, s.cut()...)
	n.sleepUntil(began + s.Duration)
	return n.Report()
}

func (s ServiceSpec) launch(n *Network, cfg *runConfig) {
	p := cfg.programs[s.Name]
	if p.main != nil {
		n.Launch(s.Name, s.replicas(), p.main)
		return
	}
	if p.handler == nil {
		p.handler = s.Behaviour.handler(cfg.via)
	}
	opts := []ServiceOption{WithHTTP2(s.HTTP2), WithPlainServer(s.Plain), WithZones(s.Zones...)}
	n.Serve(s.Name, s.replicas(), p.handler, append(opts, p.opts...)...)
}

// timeline is the picture of a run, for people.
func timeline(r *report.Report) string {
	var b strings.Builder
	if err := r.Timeline(&b, 100); err != nil {
		return fmt.Sprintf("no timeline: %v", err)
	}
	return b.String()
}
