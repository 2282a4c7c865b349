package launch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrKilled is what [Supervisor.Run] returns after [Supervisor.Kill].
var ErrKilled = errors.New("launch: killed before the drain was over")

// Config is what a [Supervisor] needs to know.
type Config struct {
	Processes []Process
	// Output takes what the processes write. Required.
	Output *Output
	// Quiet keeps the supervisor's own lines out of Output.
	Quiet bool
	// Changed, if set, is told how all processes stand after every change:
	// one call at a time, quick changes taken together. It gets its own slice.
	Changed func([]State)
	// HeldUntil, if set, says until when a service may not be restarted; a
	// time in the past means that it may. It is asked again ten times a second.
	HeldUntil func(service string) time.Time
	// Timing is for tests; each zero field means its default.
	Timing Timing
}

// Timing holds the waits of a [Supervisor].
type Timing struct {
	// ProbeEvery is the time between two calls of a process's /livez, 1 s;
	// ProbeTimeout bounds each, 1 s; after ProbeFailures in a row, 5, the
	// process is killed and started again.
	ProbeEvery, ProbeTimeout time.Duration
	ProbeFailures            int
	// StartTimeout bounds the time from start to [Report], 60 s.
	StartTimeout time.Duration
	// DrainTimeout bounds the time from SIGTERM to the end, 20 s: a little
	// more than the services allow themselves.
	DrainTimeout time.Duration
	// BackoffMin, 100 ms, is the wait before the first restart. It doubles up
	// to BackoffMax, 2 s, and begins anew after BackoffReset, 10 s, of life.
	BackoffMin, BackoffMax, BackoffReset time.Duration
}

func (t Timing) withDefaults() Timing {
	setDefault(&t.ProbeEvery, time.Second)
	setDefault(&t.ProbeTimeout, time.Second)
	setDefault(&t.ProbeFailures, 5)
	setDefault(&t.StartTimeout, time.Minute)
	setDefault(&t.DrainTimeout, 20*time.Second)
	setDefault(&t.BackoffMin, 100*time.Millisecond)
	setDefault(&t.BackoffMax, 2*time.Second)
	setDefault(&t.BackoffReset, 10*time.Second)
	return t
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// A Supervisor keeps processes running. Make one with [New] and call
// [Supervisor.Run] once; the other methods may be called at any time by any
// goroutine.
type Supervisor struct {
	cfg      Config
	log      *Lines
	spawner  *spawner
	probe    prober
	children []*child

	kill     chan struct{} // closed by Kill
	killOnce func()

	mu       sync.Mutex
	draining bool
	moved    chan struct{} // closed and replaced at each change of a child
}

// New returns a Supervisor of cfg.Processes. It starts nothing yet.
func New(cfg Config) *Supervisor {
	cfg.Timing = cfg.Timing.withDefaults()
	s := &Supervisor{
		cfg:     cfg,
		log:     cfg.Output.Lines("shop"),
		spawner: newSpawner(),
		probe:   newProber(cfg.Timing.ProbeTimeout),
		kill:    make(chan struct{}),
		moved:   make(chan struct{}),
	}
	s.killOnce = sync.OnceFunc(func() { close(s.kill) })
	for _, p := range cfg.Processes {
		s.children = append(s.children, &child{
			Process: p,
			state:   State{Service: p.Service, Replica: p.Replica},
			lines:   cfg.Output.Lines(p.Name()),
			done:    make(chan struct{}),
			wait:    backoff{min: cfg.Timing.BackoffMin, max: cfg.Timing.BackoffMax, reset: cfg.Timing.BackoffReset},
		})
	}
	return s
}

// Run starts all processes at once and keeps them running until ctx ends. Then
// it drains them, tier after tier, and returns when none is left: nil, an
// error that names the processes which had to be killed because they did not
// end in time, or [ErrKilled].
func (s *Supervisor) Run(ctx context.Context) error {
	lifeline, err := newLifeline()
	if err != nil {
		return err
	}
	defer lifeline.close()

	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(s.spawner.run)
	defer s.spawner.close()
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	helpers.Go(func() { s.tell(telling) })

	for _, c := range s.children {
		helpers.Go(func() { s.keep(ctx, c, lifeline) })
	}
	<-ctx.Done()
	s.update(func() { s.draining = true })
	return s.drain()
}

// Kill cuts a drain short: every process ends at once. Call it after the
// context of [Supervisor.Run] has ended.
func (s *Supervisor) Kill() {
	s.killOnce()
	for _, c := range s.children {
		s.killChild(c, "") // those whose tier still waits for its turn too
	}
}

// States returns how all processes stand.
func (s *Supervisor) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states()
}

// states is States for those who hold mu.
func (s *Supervisor) states() []State {
	list := make([]State, 0, len(s.children))
	for _, c := range s.children {
		list = append(list, c.state)
	}
	return list
}

// WaitReady returns once every process has been ready at the same time. If ctx
// ends first, its error names those that are not.
func (s *Supervisor) WaitReady(ctx context.Context) error {
	for {
		s.mu.Lock()
		var missing []string
		for _, c := range s.children {
			if !c.state.Ready() {
				missing = append(missing, c.Name())
			}
		}
		moved := s.moved
		s.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("launch: not ready: %s: %w", strings.Join(missing, ", "), context.Cause(ctx))
		}
	}
}

// tell passes every change on until ctx ends.
func (s *Supervisor) tell(ctx context.Context) {
	if s.cfg.Changed == nil {
		return
	}
	for {
		s.mu.Lock()
		states, moved := s.states(), s.moved
		s.mu.Unlock()
		s.cfg.Changed(states)
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// update changes a child and wakes all who wait for a change.
func (s *Supervisor) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.moved)
	s.moved = make(chan struct{})
}

// drain ends the children, tier after tier.
func (s *Supervisor) drain() error {
	tiers := map[int][]*child{}
	for _, c := range s.children {
		tiers[c.Tier] = append(tiers[c.Tier], c)
	}
	var late []string
	for _, tier := range slices.Sorted(maps.Keys(tiers)) {
		for _, c := range tiers[tier] {
			s.signal(c, func(p *os.Process) error {
				s.notice("draining %s", c.Name())
				return terminate(p)
			})
		}
		late = append(late, s.await(tiers[tier])...)
	}
	select {
	case <-s.kill:
		return ErrKilled
	default:
	}
	if len(late) > 0 {
		return fmt.Errorf("launch: killed because they did not end within %v: %s",
			s.cfg.Timing.DrainTimeout, strings.Join(late, ", "))
	}
	return nil
}

// await returns when all of children have ended, and the names of those that
// had to be killed for it.
func (s *Supervisor) await(children []*child) (late []string) {
	timeout := time.NewTimer(s.cfg.Timing.DrainTimeout)
	defer timeout.Stop()
	for _, c := range children {
		select {
		case <-c.done:
			continue
		case <-timeout.C:
			timeout.Reset(0) // the others have had their time too
			late = append(late, c.Name())
		case <-s.kill:
		}
		s.killChild(c, "")
		<-c.done
	}
	return late
}

func (s *Supervisor) notice(format string, args ...any) {
	if !s.cfg.Quiet {
		s.log.Printf(format, args...)
	}
}

// killChild ends a child at once. why is told when it has ended.
func (s *Supervisor) killChild(c *child, why string) {
	s.signal(c, func(p *os.Process) error {
		if why != "" {
			c.why = why
		}
		return p.Kill()
	})
}

// signal calls send with the child's process, if it has one.
func (s *Supervisor) signal(c *child, send func(*os.Process) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.process != nil {
		_ = send(c.process) // it can only fail because the process is gone
	}
}
