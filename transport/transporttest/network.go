package transporttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// SeedVariable is the environment variable that sets the seed of networks that
// are given none.
const SeedVariable = "GABION_SEED"

// A Network is hosts that are connected in memory, in the bubble of a test. It
// is for one test: it ends with it.
type Network struct {
	tb       testing.TB
	cfg      config
	start    time.Time
	turns    turns
	rec      *report.Recorder
	registry *registry
	faults   atomic.Pointer[[]*activeFault] // in force, in the order in which they began

	mu       sync.Mutex
	hosts    map[string]*Host
	services map[string]*Service
	conns    map[connID][2]*conn
	dialled  map[[2]string]uint64
	planned  int
	pending  map[*activeFault]time.Duration // when those begin that have not yet
	ctx      context.Context                // ends with the network
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup
}

type config struct {
	name    string
	seed    uint64
	latency dist.Dist
	delay   dist.Dist
	ttl     time.Duration
	keep    bool
}

// validate reports, joined, everything that is wrong with c.
func (c *config) validate() error {
	var errs []error
	check := func(name string, d dist.Dist) {
		if err := usable(d); err != nil {
			errs = append(errs, fmt.Errorf("transporttest: %s: %w", name, err))
		}
	}
	check("latency", c.latency)
	check("registry delay", c.delay)
	if c.ttl <= 0 {
		errs = append(errs, fmt.Errorf("transporttest: registry TTL %v: must be positive", c.ttl))
	}
	return errors.Join(errs...)
}

// usable reports why nothing can be drawn from d.
func usable(d dist.Dist) error {
	if d.File != "" {
		return fmt.Errorf("file %q has not been read: see dist.Dist.Load", d.File)
	}
	return d.Validate()
}

// An Option changes how a [Network] is made.
type Option interface{ apply(*config) }

type option func(*config)

func (f option) apply(c *config) { f(c) }

// WithSeed sets the seed from which everything random follows. Default what
// GABION_SEED says, else 1.
func WithSeed(seed uint64) Option { return option(func(c *config) { c.seed = seed }) }

// WithName names the network in its report. Default the test's name.
func WithName(name string) Option { return option(func(c *config) { c.name = name }) }

// WithLatency sets how long data takes from one host to another, one way.
// Default 200 to 300 µs.
func WithLatency(d dist.Dist) Option { return option(func(c *config) { c.latency = d }) }

// WithRegistryDelay sets how long a change takes from the registry to those
// who watch. Default 20 to 120 ms.
func WithRegistryDelay(d dist.Dist) Option { return option(func(c *config) { c.delay = d }) }

// WithRegistryTTL sets how long the registry lists an instance of which it
// hears nothing. Default 10 s.
func WithRegistryTTL(d time.Duration) Option { return option(func(c *config) { c.ttl = d }) }

// WithTrace keeps every record of the report, for [report.Report.Trace].
// Default false, which needs less memory.
func WithTrace(on bool) Option { return option(func(c *config) { c.keep = on }) }

// Test runs f with a new [Network] in a bubble of package testing/synctest, in
// which time passes only when everybody waits. It returns when everything in
// the bubble has ended. If f fails the test, the log tells the seed, how to run
// it again, and what happened when.
func Test(t *testing.T, f func(t *testing.T, n *Network), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, New(t, opts...)) })
}

// New returns a network without hosts in the bubble of the caller. In none it
// takes real time, which package sockets is for, and a seed makes nothing the
// same again. It ends when the test does.
func New(tb testing.TB, opts ...Option) *Network {
	tb.Helper()
	cfg := config{
		name: tb.Name(), seed: seedFromEnv(tb),
		latency: dist.Uniform(200*time.Microsecond, 300*time.Microsecond),
		delay:   dist.Uniform(20*time.Millisecond, 120*time.Millisecond),
		ttl:     10 * time.Second,
	}
	for _, o := range opts {
		o.apply(&cfg)
	}
	if err := cfg.validate(); err != nil {
		tb.Fatal(err)
	}
	n := &Network{
		tb: tb, cfg: cfg, start: time.Now(),
		hosts: map[string]*Host{}, services: map[string]*Service{},
		conns: map[connID][2]*conn{}, dialled: map[[2]string]uint64{}, pending: map[*activeFault]time.Duration{},
	}
	n.rec = report.New(n.start, report.WithRecords(cfg.keep))
	n.faults.Store(&[]*activeFault{})
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	n.registry = newRegistry(n)
	tb.Cleanup(n.finish)
	return n
}

func seedFromEnv(tb testing.TB) uint64 {
	tb.Helper()
	text := os.Getenv(SeedVariable)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		tb.Fatalf("transporttest: %s=%.40q: want a number from 0 to 2^64-1", SeedVariable, text)
	}
	return seed
}

// Seed returns the seed from which everything random follows.
func (n *Network) Seed() uint64 { return n.cfg.seed }

// Since returns how long ago the network was made, in its own time.
func (n *Network) Since() time.Duration { return time.Since(n.start) }

// Report sums up what has happened up to now.
func (n *Network) Report() *report.Report {
	r := n.rec.Report(n.Since())
	r.Name, r.Seed = n.cfg.name, n.cfg.seed
	return r
}

// draw returns a random number in [0, 1) that follows from the seed, what it
// is for, and which one it is.
func (n *Network) draw(what string, numbers ...uint64) float64 {
	return random.Unit(random.Hash(n.cfg.seed, what, numbers...))
}

// source returns a source of random numbers for one user of it.
func (n *Network) source(user string) *random.Seeded {
	return random.New(random.Hash(n.cfg.seed, "source", random.Hash(0, user)))
}

func (n *Network) event(kind, subject, detail string) {
	n.rec.Event(report.Event{At: n.Since(), Kind: kind, Subject: subject, Detail: detail})
}

// errEnded is why everything stops at the end of the test.
var errEnded = errors.New("transporttest: the network has ended")

// finish ends all processes and connections and waits for them.
func (n *Network) finish() {
	if n.tb.Failed() {
		n.explain()
	}
	n.cancel(errEnded)
	hosts := n.named(Everyone)
	hosts.each(func(h *Host) { h.kill(errEnded, false) })
	hosts.each((*Host).wait)
	n.wg.Wait()
	time.Sleep(time.Second) // net/http lingers for 500 ms on connections that it closes
}

// explain logs what a reader of the failure needs.
func (n *Network) explain() {
	var b strings.Builder
	if err := n.Report().Timeline(&b, 100); err != nil {
		fmt.Fprintf(&b, "no timeline: %v\n", err)
	}
	n.tb.Logf("seed %d; again: %s\n%s", n.cfg.seed, replay(n.tb.Name(), n.cfg.seed), b.String())
}

func (n *Network) sortedHosts() []*Host {
	all := make([]*Host, 0, len(n.hosts))
	for _, h := range n.hosts {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *Host) int { return cmp.Compare(a.name, b.name) })
	return all
}

// Host returns the host with this name, which is made if there is none: a
// machine with an idle process, from which calls can be made.
func (n *Network) Host(name string) *Host {
	n.tb.Helper()
	n.mu.Lock()
	if n.services[name] != nil || slices.Contains([]string{"", Everyone, registryHost}, name) {
		n.mu.Unlock()
		n.tb.Fatalf("transporttest: host %q: that means something else; choose another name", name)
	}
	h, known := n.hosts[name], true
	if h == nil {
		h, known = n.addHost(name, "", nil), false
	}
	n.mu.Unlock()
	if !known {
		h.begin()
	}
	return h
}

// addHost makes a host that is not running yet. The lock must be held.
func (n *Network) addHost(name, service string, run Main) *Host {
	if run == nil {
		run = idle
	}
	h := &Host{net: n, name: name, service: service, main: run}
	n.hosts[name] = h
	return h
}

func (n *Network) host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[name]
}

// remember keeps a connection, given by one of its ends.
func (n *Network) remember(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c.id] = [2]*conn{c, c.peer}
}

// drop is the opposite of remember.
func (n *Network) drop(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c.id)
}

// forget drops a connection that both ends have closed.
func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.closed = true
	if c.peer.closed {
		delete(n.conns, c.id)
	}
}

// sortedConns returns the connections in an order that is the same in every
// run.
func (n *Network) sortedConns() [][2]*conn {
	n.mu.Lock()
	all := make([][2]*conn, 0, len(n.conns))
	for _, c := range n.conns {
		all = append(all, c)
	}
	n.mu.Unlock()
	slices.SortFunc(all, func(a, b [2]*conn) int {
		x, y := a[0].id, b[0].id
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to), cmp.Compare(x.n, y.n))
	})
	return all
}
