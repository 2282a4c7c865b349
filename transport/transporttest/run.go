package transporttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// A Via makes what carries the calls of a load from a process: the client under
// test. Its calls are to services by name, http://pricing/v1/quote.
type Via func(p *Process) http.RoundTripper

// Gabion carries calls by a client of this library with its default policies.
func Gabion(p *Process) http.RoundTripper { return p.Client().Transport }

// Run makes the calls of loads with [Gabion] and returns the report when the
// last is over. See [Network.RunVia].
func (n *Network) Run(loads ...load.Load) *report.Report {
	n.tb.Helper()
	return n.RunVia(Gabion, loads...)
}

// RunVia makes the calls of loads, each from the host that it names as its
// client, and returns the report when the last is over. Their times count from
// this call. One client is made for each process of a host: while a host is
// down its calls fail, and when it is up again there is a new client. A load
// that is not valid, or does not end by itself, fails the test.
//
// A call is OK when a response came whole and its status is below 500 and not
// 429. Its latency counts from when it was meant to begin.
func (n *Network) RunVia(via Via, loads ...load.Load) *report.Report {
	n.tb.Helper()
	callers := map[string]*caller{}
	var errs []error
	for _, l := range loads {
		if err := n.checkLoad(l); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		n.tb.Fatalf("transporttest: %v", err)
	}
	var wg sync.WaitGroup
	now := n.Since()
	for i, l := range loads {
		if callers[l.Client] == nil {
			callers[l.Client] = &caller{host: n.Host(l.Client), via: via}
			callers[l.Client].now()
		}
		g := &generator{net: n, load: l.WithDefaults(), number: i, began: now, caller: callers[l.Client]}
		wg.Go(g.run)
	}
	wg.Wait()
	return n.Report()
}

func (n *Network) checkLoad(l load.Load) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if l.For == 0 && l.Kind != load.Replay && (l.Kind != load.Burst || l.Every > 0) {
		return fmt.Errorf("load of %q: for is missing: it would never end", l.Service)
	}
	if l.File != "" || l.Think.File != "" {
		return fmt.Errorf("load of %q: file %q has not been read: see load.Load.Read", l.Service, cmp.Or(l.File, l.Think.File))
	}
	if !n.knows(l.Service) {
		return fmt.Errorf("load of %q: there is no such service: hosts are %v", l.Service, n.hostNames())
	}
	return nil
}

// generator makes the calls of one load.
type generator struct {
	net    *Network
	load   load.Load
	number int
	began  time.Duration // of the run
	caller *caller
}

// caller is the client of a host: that of the process which runs there.
type caller struct {
	host *Host
	via  Via

	mu      sync.Mutex
	process *Process
	client  http.RoundTripper
}

// now returns the process and its client, which is made with the first call
// from each process.
func (c *caller) now() (*Process, http.RoundTripper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.host.Process(); p != c.process {
		c.process, c.client = p, c.via(p)
	}
	return c.process, c.client
}

// forever is an end that no run reaches.
const forever = 1000 * time.Hour

func (g *generator) run() {
	if !g.load.Open() {
		g.runClosed()
		return
	}
	var wg sync.WaitGroup
	calls := 0
	for at := range g.load.Arrivals(g.net.cfg.seed, forever) {
		at += g.began
		if !g.net.sleepUntil(at) {
			break
		}
		calls++
		n := calls
		wg.Go(func() { g.call(n, at) })
	}
	wg.Wait()
}

// runClosed has workers that call one after the other.
func (g *generator) runClosed() {
	var wg sync.WaitGroup
	until := g.began + g.load.Until(forever)
	for worker := range g.load.Workers {
		wg.Go(func() {
			g.net.sleepUntil(g.began + g.load.Start)
			for call := 0; g.net.Since() < until && g.net.ctx.Err() == nil; call++ {
				n := call*g.load.Workers + worker + 1
				g.call(n, g.net.Since())
				g.net.sleepUntil(g.net.Since() + g.load.Think.At(g.net.draw("think", uint64(g.number), uint64(n))))
			}
		})
	}
	wg.Wait()
}

// call makes one call, meant to begin at at, and reports it.
func (g *generator) call(n int, at time.Duration) {
	l := g.load
	record := report.Call{
		Client: l.Client, Service: l.Service, Route: l.Method + " " + pathOf(l.Path), N: n, Start: at,
	}
	ctx := g.net.ctx
	if l.Timeout > 0 {
		record.Deadline = at + l.Timeout
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, g.net.start.Add(record.Deadline))
		defer cancel()
	}
	g.net.turns.take(fmt.Sprintf("load %06d %09d", g.number, n))
	process, client := g.caller.now()
	attempts := &attempts{generator: g, process: process, n: n}
	var err error
	record.Status, err = g.exchange(attempts.trace(context.WithValue(ctx, turnTaken{}, true)), client, n)
	if errors.Is(g.net.ctx.Err(), context.Canceled) {
		return // the test is over
	}
	record.End = g.net.Since()
	if died, dead := process.death(); dead {
		record.End, record.Status, err = max(record.Start, died), 0, ErrCrashed
	}
	record.Err = class(err)
	record.OK = err == nil && record.Status < 500 && record.Status != http.StatusTooManyRequests
	record.Attempts = attempts.end(record)
	g.net.rec.Call(record)
}

// pathOf is a path without its query, which would make every call a route of
// its own.
func pathOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

// exchange sends the request and reads the whole response.
func (g *generator) exchange(ctx context.Context, client http.RoundTripper, n int) (status int, err error) {
	l := g.load
	var body io.Reader
	if l.Body != "" {
		body = strings.NewReader(l.Body)
	}
	req, err := http.NewRequestWithContext(ctx, l.Method, "http://"+l.Service+l.Path, body)
	if err != nil {
		return 0, err
	}
	for _, k := range slices.Sorted(maps.Keys(l.Header)) {
		v := l.Header[k]
		if v == load.AutoKey {
			v = strconv.FormatUint(random.Hash(g.net.cfg.seed, "key", uint64(g.number), uint64(n)), 36)
		}
		req.Header.Set(k, v)
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // everything has been read
	return resp.StatusCode, err
}

// attempts counts what a client sends for one call, whatever client it is:
// everything that is built on net/http asks for a connection for each attempt.
// A client of gabion also tells its attempts itself, with their outcome.
type attempts struct {
	generator *generator
	process   *Process // that makes them
	n         int

	mu   sync.Mutex
	sent []report.Attempt
	told bool // by the client itself
}

// attemptsOf is the key of a context for the attempts of its call.
type attemptsOf struct{}

func (a *attempts) trace(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, attemptsOf{}, a)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: a.begin})
}

// tells notes that the client of a call with this context reports its attempts,
// and returns the number of the call, or 0 if it is of no load.
func tells(ctx context.Context) (n int) {
	a, ok := ctx.Value(attemptsOf{}).(*attempts)
	if !ok {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = true
	return a.n
}

func (a *attempts) begin(hostport string) {
	if a.process.over() {
		return // it never left
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := "first"
	if len(a.sent) > 0 {
		kind = "retry"
	}
	a.sent = append(a.sent, report.Attempt{
		Client: a.generator.load.Client, Service: a.generator.load.Service, Replica: hostOf(hostport),
		N: a.n, Kind: kind, Start: a.generator.net.Since(),
	})
}

// end reports the attempts, unless the client does, and returns how many there
// were. The last one had the outcome of the call; those before it, which were
// tried again, failed.
func (a *attempts) end(c report.Call) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told {
		return len(a.sent)
	}
	for i, s := range a.sent {
		s.End, s.Err = c.End, report.ErrOther
		if i == len(a.sent)-1 {
			s.Status, s.Err, s.OK = c.Status, c.Err, c.OK
		} else {
			s.End = a.sent[i+1].Start
		}
		a.generator.net.rec.Attempt(s)
	}
	return len(a.sent)
}
