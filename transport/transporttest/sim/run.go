package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Result is what a run came to.
type Result struct {
	*report.Report
	// Opened is how often the breaker of some client opened, Ejected how often
	// one left a server out, however that came about.
	Opened, Ejected int
	// Lists is how many lists of servers have reached a client.
	Lists int
	// Steps is how many events were simulated.
	Steps int
}

// An Option changes how a run is made.
type Option interface{ apply(*run) }

type optionFunc func(*run)

func (f optionFunc) apply(r *run) { f(r) }

// WithPicker makes a picker known that Clients.Picker can name. newPicker is
// called once for each client and service.
func WithPicker(name string, newPicker func(View, rand.Source) Picker) Option {
	return optionFunc(func(r *run) { r.pickers[name] = newPicker })
}

// WithProgress calls f about a hundred times in the course of a run, with the
// time it has come to and the calls that have begun. f runs in the bubble.
func WithProgress(f func(at time.Duration, calls int)) Option {
	return optionFunc(func(r *run) { r.progress = f })
}

// WithRecords keeps every attempt and every served request, as Report.Trace
// needs it, at 64 bytes each. Default false.
func WithRecords(keep bool) Option {
	return optionFunc(func(r *run) { r.records = keep })
}

// Run makes one run in a bubble of its own: it must not be called from within
// another one. The error is that of [Config.Validate], or ctx's if that ended
// first. Runs can be made at the same time.
func Run(ctx context.Context, c Config, opts ...Option) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &run{Config: c.withDefaults(), pickers: map[string]func(View, rand.Source) Picker{}}
	for _, o := range opts {
		o.apply(r)
	}
	for _, g := range c.Clients {
		if g.Picker != "" && r.pickers[g.Picker] == nil {
			return nil, fmt.Errorf("sim: clients %q: there is no picker %q", g.Name, g.Picker)
		}
	}
	var failed error
	err := bubble.Run(c.Name, func(testing.TB) { failed = r.play(ctx) })
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	if failed != nil {
		return nil, failed
	}
	return r.result(), nil
}

// run is one run. Nothing in it is locked: all happens in one goroutine, but
// for the timers of breakers, which run while that one waits.
type run struct {
	Config
	pickers  map[string]func(View, rand.Source) Picker
	progress func(time.Duration, int)
	records  bool

	agenda   agenda
	now      time.Duration
	recorder *report.Recorder
	services map[string]*service
	callers  []*caller // in the order in which they were made
	atEnd    []func()
	open     int // calls under way
	calls    int // calls begun
	stats    Result
}

// play runs from the beginning to the end of the last call.
func (r *run) play(ctx context.Context) error {
	r.recorder = report.New(time.Now(), report.WithName(r.Name), report.WithSeed(r.Seed), report.WithRecords(r.records))
	defer func() {
		for _, f := range r.atEnd {
			f()
		}
	}()
	if err := r.build(); err != nil {
		return err
	}
	tick := max(r.For/100, 1)
	due := tick
	for (r.now < r.For || r.open > 0) && len(r.agenda.heap) > 0 {
		at, e := r.agenda.next()
		if at >= due {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("sim: at %v: %w", r.now, err)
			}
			if r.progress != nil {
				r.progress(r.now, r.calls)
			}
			due = at + tick
		}
		r.sleepUntil(at)
		r.stats.Steps++
		e.handler.happen(e)
	}
	return nil
}

// sleepUntil moves the bubble's clock. What timers do at that time is done when
// it returns.
func (r *run) sleepUntil(at time.Duration) {
	if at > r.now {
		time.Sleep(at - r.now)
		synctest.Wait()
		r.now = at
	}
}

// build makes everything that there is at the beginning.
func (r *run) build() error {
	r.services = map[string]*service{}
	for i := range r.Servers {
		r.addServers(&r.Servers[i])
	}
	for i := range r.Load {
		if err := r.addStream(i); err != nil {
			return err
		}
	}
	for i := range r.Changes {
		r.addChange(i)
	}
	return nil
}

// chance returns a number in [0, 1) for one decision.
func (r *run) chance(use string, numbers ...uint64) float64 {
	return random.Unit(random.Hash(r.Seed, use, numbers...))
}

// note puts something among the report's events.
func (r *run) note(kind, subject, detail string) {
	r.recorder.Event(report.Event{At: r.now, Kind: kind, Subject: subject, Detail: detail})
}

func (r *run) result() *Result {
	res := r.stats
	res.Report = r.recorder.Report(r.For)
	return &res
}
