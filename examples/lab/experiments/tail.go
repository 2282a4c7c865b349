package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// bound is the policy of tail that knows what cannot be known.
const bound = "bound"

// Tail compares clients over real sockets, in real time.
func Tail() bench.Experiment {
	return bench.Experiment{
		Name:  "tail",
		Title: "ten replicas on loopback, one slow and one failing",
		About: `
Ten replicas on real sockets of this machine work for an exponentially distributed time with a
mean of 2 ms, which they sleep. Replica 10 is 20 times slower, replica 9 answers 30 % of the
attempts with 503 at once; in the variant swap they change places every 10 s. Calls arrive as a
Poisson process, 500 a second in an open loop, for 60 s for each policy, one policy after the other. Latency counts from when a call was meant to begin, and
a call has 1 s from then. Arrivals, service times and failures are drawn from a hash of the seed, the
request, the replica and the attempt, so that all policies meet the same.

within_20ms is the part of all calls that went well within 20 ms; quantiles are those of all calls,
failed ones included. to_slow and to_failing are the parts of all attempts that went to the slow
replica and to the failing one.

bound is net/http over the eight healthy replicas in turn, what a client could do that knew all. It is
measured in every run, whichever policies are asked for, because the machine sets the level:
compare with bound, not across machines. round-robin is net/http over all ten; the two p2c are
gabion's balancers alone, and gabion is its client and servers with all defaults. The servers of
the others are those of net/http.

This is real time: the figures differ from run to run, and on a busy machine the quantiles are the
machine's. p2c-least-request sees the slow replica only by the calls that it holds, and
p2c-peak-ewma by how long they take. A failure counts against a replica in both, but only gabion tries
elsewhere.`,
		Takes:     10*time.Minute + 10*time.Second,
		Policies:  []string{bound, roundRobin, p2c, balance.PeakEWMA, whole},
		Published: publishedTail(),
		Columns:   []string{"success", "p50_ms", "p99_ms", "p999_ms", "within_20ms", "attempts_per_call", "to_slow", "to_failing"},
		Chart:     []string{"success", "p99_ms", "p999_ms", "within_20ms"},
		Run:       runTail,
	}
}

// publishedTail are medians of three seeds.
func publishedTail() []bench.Published {
	const source = "measured on the same set-up, 2 virtual CPUs of a shared machine, go1.26.8, medians of 3 seeds: " +
		"kratos 2.9.2, failsafe-go 0.9.8, go-zero 1.10.3, grpc-go 1.85.0, go-kit 0.13.0"
	var list []bench.Published
	for _, p := range []struct {
		policy, success, p50, p99, p999, within, attempts, slow, failing string
	}{
		{bound, "100", "2.53", "11.0", "21.1", "99.89", "1.000", "0", "0"},
		{roundRobin, "96.91", "2.82", "95.3", "181", "90.49", "1", "10", "10"},
		{"kratos-p2c-failsafe-retry-hedge", "100", "2.78", "11.6", "30.4", "99.81", "1.056", "0.14", "3.5"},
		{"kratos-p2c-failsafe-retry", "100", "2.74", "12.4", "57", "99.69", "1.008", "0.34", "2.9"},
		{"kratos-p2c", "99.13", "2.76", "12.2", "55", "98.82", "1", "0.36", "3.0"},
		{"kratos-p2c-breaker", "99.11", "2.80", "12.7", "78", "98.70", "1", "0.52", "2.7"},
		{"grpc-least-request-outlier-retry", "100", "2.85", "65.8", "155", "96.85", "1.001", "4.7", "0.4"},
		{"go-zero-p2c", "96.62", "2.80", "11.6", "47", "96.46", "1", "0.26", "11.2"},
		{"go-kit-round-robin-retry", "100", "2.99", "97.7", "193", "93.37", "1.032", "10", "10"},
		{"failsafe-round-robin-retry-breaker", "100", "2.91", "94.6", "180", "93.04", "1.003", "11", "0.9"},
		{"failsafe-round-robin-hedge", "99.96", "2.99", "37.3", "66", "92.97", "1.062", "11", "0.9"},
		{"grpc-round-robin-outlier-retry", "100", "2.94", "98.6", "182", "92.90", "1.001", "11", "0.3"},
	} {
		figures := fmt.Sprintf("%s %%, p50 %s, p99 %s, p99.9 %s ms, within 20 ms %s %%, attempts %s, to slow %s %%, to failing %s %%",
			p.success, p.p50, p.p99, p.p999, p.within, p.attempts, p.slow, p.failing)
		list = append(list, bench.Published{Policy: p.policy, Figures: figures, Source: source})
	}
	return list
}

// The set-up.
const (
	tailReplicas = 10
	tailFailing  = 9
	tailSlow     = 10
	tailRate     = 500
	tailTimeout  = time.Second
	tailService  = "orders"
	tailRequest  = "X-Request" // the header with a call's number
	tailSwap     = 10 * time.Second
)

func runTail(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	length, swap := time.Minute, tailSwap
	if r.Quick {
		length, swap = 5*time.Second, time.Second
	}
	policies := r.Policies
	if !r.Has(bound) {
		policies = slices.Insert(slices.Clone(policies), 0, bound)
	}
	var rows []bench.Row
	for _, every := range []time.Duration{0, swap} {
		for _, policy := range policies {
			t := &tail{policy: policy, seed: r.Seed, length: length, timeout: tailTimeout, swap: every, tell: r.Tell}
			row, err := t.run(ctx)
			if err != nil {
				return nil, err
			}
			if every > 0 {
				row.Variant = "swap"
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// tail is the measurement of one policy.
type tail struct {
	policy  string
	seed    uint64
	length  time.Duration
	timeout time.Duration // of a call
	swap    time.Duration // how often the slow and the failing one change places; 0 is never
	tell    func(format string, args ...any)

	replicas []*tailReplica
	client   http.RoundTripper
	recorder *report.Recorder
	start    time.Time
	quick    atomic.Int64 // calls that went well within 20 ms

	attempts, slow, failing atomic.Int64 // attempts that replicas have met
}

func (t *tail) run(ctx context.Context) (row bench.Row, err error) {
	t.start = time.Now() // replicas look at it: see role
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.listen(); err != nil {
		return row, err
	}
	end, err := t.connect()
	if err != nil {
		return row, err
	}
	defer end()
	if err := t.calls(ctx); err != nil {
		return row, err
	}
	return t.row(), nil
}

// listen starts the replicas.
func (t *tail) listen() error {
	for n := 1; n <= tailReplicas; n++ {
		r, err := newTailReplica(t, n, t.policy == whole)
		if err != nil {
			return err
		}
		t.replicas = append(t.replicas, r)
	}
	return nil
}

// stop ends the replicas.
func (t *tail) stop() error {
	var errs []error
	for _, r := range t.replicas {
		errs = append(errs, r.server.Close(), <-r.served)
	}
	return errors.Join(errs...)
}

// connect makes the client. end closes it.
func (t *tail) connect() (end func(), err error) {
	if t.policy == bound || t.policy == roundRobin {
		transport := &http.Transport{MaxIdleConnsPerHost: 1000}
		r := &rotation{transport: transport}
		addrs := t.addrs()
		if t.policy == bound {
			addrs = addrs[:tailFailing-1]
		}
		r.addrs.Store(&addrs)
		t.client = r
		return transport.CloseIdleConnections, nil
	}
	var list []discovery.Instance
	for _, addr := range t.addrs() {
		list = append(list, discovery.Instance{Addr: addr, Weight: 1})
	}
	registry, err := static.New(map[string][]discovery.Instance{tailService: list})
	if err != nil {
		return nil, err
	}
	c, err := transport.NewClient(registry, transport.WithPolicy(client(t.policy, t.timeout)))
	if err != nil {
		return nil, errors.Join(err, registry.Close())
	}
	t.client = c
	return func() {
		_ = c.Close() // both return nil always
		_ = registry.Close()
	}, nil
}

func (t *tail) addrs() []string {
	var addrs []string
	for _, r := range t.replicas {
		addrs = append(addrs, r.addr)
	}
	return addrs
}

// calls makes all calls and waits for the last.
func (t *tail) calls(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	t.recorder = report.New(t.start, report.WithRecords(false))
	n := 0
	for at := range (load.Load{Client: "lab", Service: tailService, Rate: tailRate}).Arrivals(t.seed, t.length) {
		if !sleepUntil(ctx, t.start.Add(at)) {
			return context.Cause(ctx)
		}
		n++
		number := n
		wg.Go(func() { t.call(ctx, number, at) })
		t.tell("%s: %.0f of %.0f s", t.policy, at.Seconds(), t.length.Seconds())
	}
	return nil
}

// sleepUntil reports false if ctx ended before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// call makes call n, which is meant to begin at at.
func (t *tail) call(ctx context.Context, n int, at time.Duration) {
	ctx, cancel := context.WithDeadline(ctx, t.start.Add(at+t.timeout))
	defer cancel()
	status, err := t.exchange(ctx, n)
	c := report.Call{
		Service: tailService, N: n, Start: at, End: time.Since(t.start), Deadline: at + t.timeout,
		Status: status, OK: err == nil && status == http.StatusOK,
	}
	if c.OK && c.End-c.Start <= 20*time.Millisecond {
		t.quick.Add(1)
	}
	t.recorder.Call(c)
}

// exchange sends the request and reads the whole response.
func (t *tail) exchange(ctx context.Context, n int) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+tailService+"/", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set(tailRequest, strconv.Itoa(n))
	resp, err := t.client.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (t *tail) row() bench.Row {
	r := t.recorder.Report(t.length)
	attempts := t.attempts.Load()
	perCall := float64(attempts) / float64(max(1, r.Calls))
	row := bench.FromReport(t.policy, r)
	row.AttemptsPerCall, row.ExtraRequests = new(perCall), new(max(0, perCall-1))
	row.AddShare("within_20ms", float64(t.quick.Load())/float64(max(1, r.Calls)))
	row.AddShare("to_slow", float64(t.slow.Load())/float64(max(1, attempts)))
	row.AddShare("to_failing", float64(t.failing.Load())/float64(max(1, attempts)))
	return row
}

// tailReplica is one server.
type tailReplica struct {
	tail   *tail
	number int
	addr   string
	server interface{ Close() error }
	served chan error // what serving ended with
}

// newTailReplica starts a server of gabion, or of net/http.
func newTailReplica(t *tail, number int, ofGabion bool) (*tailReplica, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &tailReplica{tail: t, number: number, addr: l.Addr().String(), served: make(chan error, 1)}
	if !ofGabion {
		server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
		r.server = server
		go func() { r.served <- ignoreClosed(server.Serve(l)) }()
		return r, nil
	}
	server, err := transport.NewServer(r)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	r.server = server
	go func() { r.served <- ignoreClosed(server.Serve(l)) }()
	return r, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// role returns whom the replica stands for now.
func (r *tailReplica) role() int {
	t := r.tail
	if t.swap > 0 && time.Since(t.start)/t.swap%2 == 1 {
		switch r.number {
		case tailSlow:
			return tailFailing
		case tailFailing:
			return tailSlow
		}
	}
	return r.number
}

// ServeHTTP works, or fails, as the request's number and attempt say.
func (r *tailReplica) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.tail.attempts.Add(1)
	chance := r.chance(number(req.Header.Get(tailRequest)), number(req.Header.Get(transport.HeaderAttempt)))
	work := time.Duration(chance.ExpFloat64() * float64(2*time.Millisecond))
	switch r.role() {
	case tailFailing:
		r.tail.failing.Add(1)
		if chance.Float64() < 0.3 {
			http.Error(w, "failing", http.StatusServiceUnavailable)
			return
		}
	case tailSlow:
		r.tail.slow.Add(1)
		work *= 20
	}
	time.Sleep(work)
	_, _ = io.WriteString(w, "done")
}

// number reads a header; without one it is 1.
func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// chance is what is drawn for one attempt, whenever it comes.
func (r *tailReplica) chance(request, attempt uint64) *rand.Rand {
	var key [32]byte
	for i, n := range []uint64{r.tail.seed, request, uint64(r.number), attempt} {
		binary.BigEndian.PutUint64(key[8*i:], n)
	}
	return rand.New(rand.NewChaCha8(key))
}
