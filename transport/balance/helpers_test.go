package balance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

var (
	success   = balance.Result{Latency: time.Millisecond}
	failure   = balance.Result{Outcome: balance.Failure}
	refused   = balance.Result{Outcome: balance.ConnectError}
	timeout   = balance.Result{Outcome: balance.Timeout}
	cancelled = balance.Result{Outcome: balance.Cancelled}
)

// leastLoaded is the policy of tests about states, in which calls take no time.
var leastLoaded = balance.Policy{Name: balance.P2C}

func instances(n int) []discovery.Instance {
	list := make([]discovery.Instance, n)
	for i := range list {
		list[i] = discovery.Instance{
			ID: fmt.Sprintf("i%05d", i), Service: "s", Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256),
		}
	}
	return list
}

// weighted returns instances with the given weights.
func weighted(weights ...int) []discovery.Instance {
	list := instances(len(weights))
	for i, w := range weights {
		list[i].Weight = w
	}
	return list
}

// newBalancer returns a balancer of n endpoints, all of which it uses unless p
// says otherwise. In tests its choices are the same in each run; benchmarks
// measure the source that services use.
func newBalancer(t testing.TB, p balance.Policy, n int, opts ...balance.Option) *balance.Balancer {
	t.Helper()
	if _, ok := t.(*testing.B); !ok {
		opts = append([]balance.Option{balance.WithRand(random.New(1))}, opts...)
	}
	if p.Subset == (balance.Subset{}) {
		p.Subset.Disabled = true
	}
	b, err := balance.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	b.Update(instances(n))
	return b
}

func pick(t testing.TB, b *balance.Balancer, tried ...*balance.Endpoint) *balance.Endpoint {
	t.Helper()
	e, err := b.Pick(tried)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// give makes n calls to e that end like r, picking until e is hit.
func give(t testing.TB, b *balance.Balancer, e *balance.Endpoint, r balance.Result, n int) {
	t.Helper()
	for range n {
		hit(t, b, e).Done(r)
	}
}

// hit picks until e comes up. The others stay busy until then, or an endpoint
// that has been failing would never be the less loaded one.
func hit(t testing.TB, b *balance.Balancer, e *balance.Endpoint) *balance.Endpoint {
	t.Helper()
	var others []*balance.Endpoint
	defer func() {
		for _, o := range others {
			o.Done(cancelled)
		}
	}()
	for range 100_000 {
		got := pick(t, b)
		if got == e {
			return got
		}
		others = append(others, got)
	}
	t.Fatalf("endpoint %s (%v) is never picked", e.ID(), e.State())
	return nil
}

// calls makes n calls one after another that end like r, and counts them by
// endpoint.
func calls(t testing.TB, b *balance.Balancer, n int, r balance.Result) map[*balance.Endpoint]int {
	t.Helper()
	count := map[*balance.Endpoint]int{}
	for range n {
		e := pick(t, b)
		count[e]++
		e.Done(r)
	}
	return count
}

func wantState(t testing.TB, e *balance.Endpoint, want balance.State) {
	t.Helper()
	if got := e.State(); got != want {
		t.Fatalf("endpoint %s is %v, want %v", e.ID(), got, want)
	}
}

func wantStats(t testing.TB, b *balance.Balancer, want balance.Stats) {
	t.Helper()
	if got := b.Stats(); got != want {
		t.Fatalf("stats %+v, want %+v", got, want)
	}
}

// ejectOne ejects e by failures.
func ejectOne(t testing.TB, b *balance.Balancer, e *balance.Endpoint) {
	t.Helper()
	give(t, b, e, failure, balance.DefaultConsecutive)
	wantState(t, e, balance.Ejected)
}

// cutOff makes e unreachable. The second call must have begun before the first
// has ended, because e rests after it.
func cutOff(t testing.TB, b *balance.Balancer, e *balance.Endpoint) {
	t.Helper()
	one, two := hit(t, b, e), hit(t, b, e)
	one.Done(refused)
	two.Done(refused)
	wantState(t, e, balance.Unreachable)
}

const ms = time.Millisecond
