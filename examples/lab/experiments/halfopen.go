package experiments

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

// plainGobreaker is the policy of half-open that is not gabion's.
const plainGobreaker = "gobreaker"

// HalfOpen watches a crowd come back to a breaker that reopens.
func HalfOpen() bench.Experiment {
	return bench.Experiment{
		Name:  "half-open",
		Title: "10,000 callers on a breaker that reopens",
		About: `
10,000 callers share a breaker in front of a dependency that is down; their failures open it. It
comes back while the breaker is open, and then takes 20 ms for a call. A caller who is refused
comes again after 150 to 250 ms, one who was served too: 50,000 calls a second come in. Counted is
what the breaker lets through from the moment on at which the open period of about 1 s is over. All of
it is in virtual time, on one goroutine, with the breakers' own code.

probes_at_once is the most calls in flight before the breaker has closed, closed_after_ms when
that is. largest_step is the largest growth, from one 100 ms to the next, of the share of calls
that are let through: a dependency that has just come back gets that much more at once.
share_first is that share in the first 100 ms after the closing, share_1s and share_3s are those
that long after it, and full_after_s is when the breaker lets everything through. The line below
each row has the calls let through in each 100 ms, in thousands.

gobreaker is sony/gobreaker 2.4.0 with MaxRequests 10 and a Timeout of 1 s: ten probes at once, and
everything as soon as they have gone well. gabion is its breaker with the defaults: three probes,
one after the other, then a ramp that begins at 10 % and takes 5 s, or a quarter of that while calls
come back and succeed, as these do.`,
		Takes:    10 * time.Second,
		Policies: []string{plainGobreaker, whole},
		Published: []bench.Published{
			{Policy: plainGobreaker, Figures: "10 probes at once of 1,000 callers; right after closing 1,000 at once: no ramp", Source: "sony/gobreaker 2.4.0, run with MaxRequests 10"},
		},
		Columns: []string{"probes_at_once", "closed_after_ms", "share_first", "share_1s", "share_3s", "largest_step", "full_after_s"},
		Chart:   []string{"largest_step", "full_after_s"},
		Run:     runHalfOpen,
	}
}

func runHalfOpen(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	size := 10_000
	if r.Quick {
		size = 1000
	}
	return bench.Each(ctx, r.Policies, func(ctx context.Context, policy string) (bench.Row, error) {
		r.Tell("%s", policy)
		var row bench.Row
		err := bubble.Run("half-open", func(tb testing.TB) {
			c, err := newCrowd(size, r.Seed, policy)
			if err == nil {
				err = c.run(ctx)
			}
			if err != nil {
				tb.Fatal(err)
			}
			row = c.row(policy)
		})
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return row, err
	})
}

// guard is a breaker of either kind. admit returns how to report the outcome,
// or that the call is refused.
type guard interface {
	admit() (done func(error), err error)
	state() string // "closed", "half-open" or "open"
}

type gobreakerGuard struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
}

func (g gobreakerGuard) admit() (func(error), error) { return g.Allow() }
func (g gobreakerGuard) state() string               { return g.State().String() }

type gabionGuard struct{ *breaker.Breaker }

func (g gabionGuard) admit() (func(error), error) {
	p, err := g.Allow(context.Background())
	return func(err error) { p.Done(err) }, err
}

func (g gabionGuard) state() string { return g.State().String() }

func newGuard(policy string, src rand.Source) (guard, error) {
	if policy == plainGobreaker {
		return gobreakerGuard{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: "dependency", MaxRequests: 10, Timeout: time.Second,
		})}, nil
	}
	b, err := breaker.New("dependency", breaker.WithRand(src))
	return gabionGuard{b}, err
}

// How the crowd calls.
const (
	crowdThinks = 200 * time.Millisecond // on average: three quarters of it to five
	crowdCalls  = 20 * time.Millisecond  // how long a call takes
	crowdStays  = 6 * time.Second        // after the open period
	crowdStep   = 100 * time.Millisecond
)

var errDown = errors.New("the dependency is down")

// crowd calls one breaker. It is one goroutine, so that the same seed gives the
// same order.
type crowd struct {
	guard  guard
	rand   *rand.Rand
	start  time.Time
	visits visits
	count  int // of visits planned

	healthy  bool          // the dependency is back
	reopened time.Duration // when the open period was over; 0 before
	closed   time.Duration // when the circuit closed after that; 0 before
	inFlight int           // probes
	probes   int           // the most of them
	since    flow          // from reopened on
	after    flow          // from closed on
}

// visit is when a caller comes, or when its call ends.
type visit struct {
	at   time.Duration
	n    int         // puts in order what is at the same time
	done func(error) // nil: the caller comes
}

func newCrowd(size int, seed uint64, policy string) (*crowd, error) {
	g, err := newGuard(policy, &lockedSource{src: rand.NewPCG(seed, 2)})
	if err != nil {
		return nil, err
	}
	c := &crowd{guard: g, rand: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	for range size {
		c.plan(time.Duration(c.rand.Int64N(int64(crowdThinks))), nil)
	}
	return c, nil
}

func (c *crowd) plan(at time.Duration, done func(error)) {
	c.count++
	heap.Push(&c.visits, visit{at, c.count, done})
}

// run goes on until the crowd has seen enough.
func (c *crowd) run(ctx context.Context) error {
	for c.reopened == 0 || c.visits[0].at < c.reopened+crowdStays {
		if err := ctx.Err(); err != nil {
			return err
		}
		v := heap.Pop(&c.visits).(visit)
		time.Sleep(v.at - time.Since(c.start))
		if v.done == nil {
			c.come(v.at)
			continue
		}
		v.done(c.outcome())
		c.plan(c.next(v.at), nil)
	}
	return nil
}

// outcome is that of a call that ends now.
func (c *crowd) outcome() error {
	if c.healthy {
		return nil
	}
	return errDown
}

// next is when a caller who is done at some time comes again.
func (c *crowd) next(at time.Duration) time.Duration {
	return at + crowdThinks*3/4 + time.Duration(c.rand.Int64N(int64(crowdThinks/2)))
}

// come is a caller who comes at some time.
func (c *crowd) come(at time.Duration) {
	c.look(at)
	done, err := c.guard.admit()
	if c.reopened > 0 {
		c.since.add(at-c.reopened, err == nil)
	}
	if c.closed > 0 {
		c.after.add(at-c.closed, err == nil)
	}
	if err != nil {
		c.plan(c.next(at), nil)
		return
	}
	if c.reopened > 0 && c.closed == 0 {
		done = c.probe(done)
	}
	c.plan(at+crowdCalls, done)
}

// probe counts a call that was let through before the circuit has closed.
func (c *crowd) probe(done func(error)) func(error) {
	c.inFlight++
	c.probes = max(c.probes, c.inFlight)
	return func(err error) {
		c.inFlight--
		done(err)
	}
}

// look notes changes of the circuit.
func (c *crowd) look(at time.Duration) {
	if c.closed > 0 {
		return
	}
	switch c.guard.state() {
	case "open":
		c.healthy = true
	case "half-open":
		if c.reopened == 0 {
			c.reopened = at
		}
	case "closed":
		if c.reopened > 0 {
			c.closed = at
		}
	}
}

// flow counts the calls that were offered and let through, step by step.
type flow struct{ offered, admitted []int }

func (f *flow) add(at time.Duration, admitted bool) {
	for i := int(at / crowdStep); len(f.offered) <= i; {
		f.offered, f.admitted = append(f.offered, 0), append(f.admitted, 0)
	}
	f.offered[len(f.offered)-1]++
	if admitted {
		f.admitted[len(f.offered)-1]++
	}
}

// share is the part of the calls that was let through in the step that holds at.
func (f *flow) share(at time.Duration) float64 {
	i := int(at / crowdStep)
	if i >= len(f.offered) {
		return 0
	}
	return float64(f.admitted[i]) / float64(max(1, f.offered[i]))
}

// largestStep is the largest growth of the share, from nothing at first.
func (f *flow) largestStep() float64 {
	largest, before := 0.0, 0.0
	for i := range f.offered {
		share := f.share(time.Duration(i) * crowdStep)
		largest, before = max(largest, share-before), share
	}
	return largest
}

// full is from when on everything was let through, or -1.
func (f *flow) full() time.Duration {
	for i := len(f.offered); i > 0; i-- {
		if f.admitted[i-1] < f.offered[i-1] {
			return time.Duration(i) * crowdStep
		}
	}
	return 0
}

// String lists what was let through in each step, in thousands.
func (f *flow) String() string {
	steps := make([]string, len(f.admitted))
	for i, n := range f.admitted {
		steps[i] = fmt.Sprintf("%.3g", float64(n)/1000)
	}
	return strings.Join(steps, " ")
}

func (c *crowd) row(policy string) bench.Row {
	row := bench.Row{Policy: policy, Note: c.since.String()}
	row.Add("probes_at_once", float64(c.probes))
	row.Add("closed_after_ms", *bench.Ms(c.closed - c.reopened))
	row.AddShare("share_first", c.after.share(0))
	row.AddShare("share_1s", c.after.share(time.Second))
	row.AddShare("share_3s", c.after.share(3*time.Second))
	row.AddShare("largest_step", c.after.largestStep())
	row.Add("full_after_s", (c.closed - c.reopened + c.after.full()).Seconds())
	return row
}

// visits is a heap by time.
type visits []visit

func (v visits) Len() int { return len(v) }

func (v visits) Less(i, j int) bool {
	return v[i].at < v[j].at || v[i].at == v[j].at && v[i].n < v[j].n
}

func (v visits) Swap(i, j int) { v[i], v[j] = v[j], v[i] }

// Push is for package heap.
func (v *visits) Push(x any) { *v = append(*v, x.(visit)) }

// Pop is for package heap.
func (v *visits) Pop() any {
	last := len(*v) - 1
	x := (*v)[last]
	*v = (*v)[:last]
	return x
}

// lockedSource is a source that is safe for concurrent use.
type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}
