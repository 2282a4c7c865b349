package sim_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

const ms = time.Millisecond

// patient is a policy that does nothing but balance.
func patient(name string) transport.Policy {
	return transport.Policy{
		Timeout: time.Hour, AttemptTimeout: time.Hour,
		Retry:   retry.Policy{Attempts: 1},
		Breaker: noBreaker,
		Balance: balance.Policy{Name: name, Ejection: balance.Ejection{Disabled: true}},
		Limit:   limit.Policy{MaxInflight: math.MaxInt32},
	}
}

// noBreaker never opens.
var noBreaker = breaker.Settings{Consecutive: -1, MinCalls: math.MaxInt32}

// small is n servers that take 10 ms, called rate times a second for a minute.
func small(n int, rate float64) sim.Config {
	return sim.Config{
		Seed: 1, For: time.Minute,
		Clients: []sim.Clients{{Name: "c"}},
		Servers: []sim.Servers{{Service: "s", Count: n, Time: dist.Exponential(10 * ms)}},
		Load:    []load.Load{{Client: "c", Service: "s", Rate: rate}},
	}
}

// everything is a run with all that there is.
func everything(seed uint64) sim.Config {
	return sim.Config{
		Name: "everything", Seed: seed, For: 20 * time.Second, Events: true,
		Network: dist.Lognormal(2*ms, ms),
		Lists:   sim.Lists{Delay: dist.Uniform(0, time.Second), Every: 500 * ms},
		Clients: []sim.Clients{{Name: "web", Count: 3}, {Name: "batch", Policy: transport.Policy{Timeout: time.Second}}},
		Servers: []sim.Servers{
			{Service: "a", Count: 4, Kind: sim.Queue, Time: dist.Exponential(20 * ms), Workers: 2, Backlog: 10, Limit: &limit.Settings{}},
			{Service: "a", Name: "b", Count: 3, Kind: sim.Sharing, Time: dist.Pareto(5*ms, 2.5), Cores: .5, Burst: 2,
				Busy: dist.Exponential(time.Second), Idle: dist.Exponential(time.Second), Cancels: true, Weight: 2},
			{Service: "d", Count: 2, Time: dist.Uniform(0, 50*ms), Limit: &limit.Settings{Max: 3}},
		},
		Load: []load.Load{
			{Client: "web", Service: "a", Rate: 150},
			{Client: "web", Service: "d", Method: "POST", Rate: 30, To: 200, Kind: load.Ramp},
			{Client: "batch", Service: "a", Kind: load.Closed, Workers: 5, Think: dist.Exponential(10 * ms), Timeout: 300 * ms},
			{Client: "batch", Service: "d", Kind: load.Burst, Burst: 20, Every: 5 * time.Second},
		},
		Changes: []sim.Change{
			{Kind: sim.Slow, Service: "a", Count: 3, Factor: 10, At: 2 * time.Second, For: 3 * time.Second},
			{Kind: sim.Fail, Service: "a", First: 2, Count: 3, Share: .5, At: 4 * time.Second, For: 3 * time.Second},
			{Kind: sim.Down, Service: "a", Servers: "b", At: 8 * time.Second, For: 2 * time.Second},
			{Kind: sim.Hang, Service: "d", Count: 1, At: 9 * time.Second, For: 3 * time.Second},
			{Kind: sim.Leave, Service: "a", Servers: "a", Count: 1, At: 11 * time.Second, For: 2 * time.Second},
			{Kind: sim.Churn, Service: "a", Every: 300 * ms, Away: dist.Exponential(time.Second), At: 13 * time.Second, For: 3 * time.Second},
			{Kind: sim.Fail, Service: "d", Status: 500, At: 17 * time.Second, For: time.Second},
		},
	}
}

// trace returns all that a result tells.
func trace(t *testing.T, r *sim.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(r.WriteJSON(&b), r.Trace(&b)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSameSeedSameBytes(t *testing.T) {
	first := trace(t, mustRun(t, everything(1), sim.WithRecords(true)))
	if !strings.Contains(first, "breaker") || !strings.Contains(first, "eject") || len(first) < 100_000 {
		t.Fatalf("a trace of %d bytes without what it should have", len(first))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2} {
		runtime.GOMAXPROCS(procs)
		for range 3 {
			if again := trace(t, mustRun(t, everything(1), sim.WithRecords(true))); again != first {
				t.Fatalf("on %d processors: %s", procs, difference(first, again))
			}
		}
	}
	if trace(t, mustRun(t, everything(2), sim.WithRecords(true))) == first {
		t.Error("another seed gave the same")
	}
}

// difference returns the first lines that differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\nbecame " + y[i]
		}
	}
	return "one is longer"
}

// skipWithRace skips what takes many calls: a run has one goroutine, and the
// detector finds as much in a short one.
func skipWithRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("long, and one goroutine")
	}
}

// mean returns the mean latency.
func mean(r *sim.Result) time.Duration {
	const n = 100_000
	sum := 0.0
	for i := range n {
		sum += float64(r.Quantile((float64(i) + .5) / n))
	}
	return time.Duration(sum / n)
}

// The means that queueing theory gives, of one server that is busy by 70 %.
func TestQueueingTheory(t *testing.T) {
	skipWithRace(t)
	const rho = 0.7
	d := 10 * ms
	times := func(f float64) time.Duration { return time.Duration(f * float64(d)) }
	for name, tc := range map[string]struct {
		servers sim.Servers
		rate    float64
		want    time.Duration
	}{
		"M/M/1": {sim.Servers{Kind: sim.Queue, Time: dist.Exponential(d)}, 70, times(1 / (1 - rho))},
		"M/D/1": {sim.Servers{Kind: sim.Queue, Time: dist.Constant(d)}, 70, times(1 + rho/(2*(1-rho)))},
		// Erlang C of two workers is 2ρ²/(1+ρ).
		"M/M/2":                         {sim.Servers{Kind: sim.Queue, Time: dist.Exponential(d), Workers: 2}, 140, times(1 + 2*rho*rho/(1+rho)/(2*(1-rho)))},
		"M/M/1 sharing":                 {sim.Servers{Kind: sim.Sharing, Time: dist.Exponential(d)}, 70, times(1 / (1 - rho))},
		"M/D/1 sharing":                 {sim.Servers{Kind: sim.Sharing, Time: dist.Constant(d)}, 70, times(1 / (1 - rho))},
		"M/M/2 sharing":                 {sim.Servers{Kind: sim.Sharing, Time: dist.Exponential(d), Cores: 2}, 140, times(1 + 2*rho*rho/(1+rho)/(2*(1-rho)))},
		"M/M/infinity":                  {sim.Servers{Kind: sim.Delay, Time: dist.Exponential(d)}, 70, d},
		"M/M/1 half as fast, half load": {sim.Servers{Kind: sim.Sharing, Time: dist.Exponential(d), Cores: .5}, 35, times(2 / (1 - rho))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := small(1, tc.rate)
			c.For, c.Clients[0].Policy = 10*time.Minute, patient(balance.Random)
			c.Servers[0] = tc.servers
			c.Servers[0].Service = "s"
			r := mustRun(t, c)
			got := mean(r)
			if off := math.Abs(float64(got)/float64(tc.want) - 1); off > .04 {
				t.Errorf("mean %v of %d calls, want %v: off by %.1f %%", got, r.Calls, tc.want, 100*off)
			}
			if r.Success != 1 || r.AttemptsPerCall != 1 {
				t.Errorf("success %v, attempts %v, want 1, 1", r.Success, r.AttemptsPerCall)
			}
		})
	}
}

// chooser is a Picker made of a function.
type chooser struct {
	pick func(servers, tried []int) int
	list []int
	done func(int, balance.Result)
}

func (c *chooser) Update(servers []int) { c.list = servers }
func (c *chooser) Pick(tried []int) int { return c.pick(c.list, tried) }
func (c *chooser) Done(server int, r balance.Result) {
	if c.done != nil {
		c.done(server, r)
	}
}

// What a Poisson arrival finds is what there is on average (PASTA), and that is
// the rate times the time in the system (Little).
func TestLittlesLaw(t *testing.T) {
	skipWithRace(t)
	seen, n := 0, 0
	c := small(1, 70)
	c.For, c.Servers[0].Kind = 10*time.Minute, sim.Queue
	c.Clients[0].Policy, c.Clients[0].Picker = patient(""), "watch"
	r := mustRun(t, c, sim.WithPicker("watch", func(v sim.View, _ rand.Source) sim.Picker {
		return &chooser{pick: func(servers, _ []int) int {
			seen += v.InFlight(servers[0])
			n++
			return servers[0]
		}}
	}))
	got := float64(seen) / float64(n)
	want := float64(r.Calls) / c.For.Seconds() * mean(r).Seconds()
	if math.Abs(got/want-1) > .02 {
		t.Errorf("%.3f in the system, rate times time is %.3f", got, want)
	}
}

// One client of ten servers: the more it knows the shorter they wait.
func TestOrderOfPolicies(t *testing.T) {
	skipWithRace(t)
	wait := map[string]time.Duration{}
	for _, policy := range []string{balance.Random, balance.RoundRobin, balance.P2C, "shortest queue"} {
		c := small(10, 800)
		c.Servers[0].Kind, c.Clients[0].Policy = sim.Queue, patient(policy)
		if policy == "shortest queue" {
			c.Clients[0].Policy, c.Clients[0].Picker = patient(""), policy
		}
		wait[policy] = mustRun(t, c, sim.WithPicker("shortest queue", shortestQueue)).P99
	}
	if !(wait["shortest queue"] < wait[balance.P2C] && wait[balance.P2C] < wait[balance.RoundRobin] && wait[balance.RoundRobin] < wait[balance.Random]) {
		t.Errorf("99 %% within %v", wait)
	}
}

func shortestQueue(v sim.View, _ rand.Source) sim.Picker {
	return &chooser{pick: func(servers, _ []int) int {
		best := servers[0]
		for _, s := range servers {
			if v.InFlight(s) < v.InFlight(best) {
				best = s
			}
		}
		return best
	}}
}

// A Picker learns how attempts end, is told which servers were tried, and may
// say that there is none.
func TestPicker(t *testing.T) {
	var outcomes [6]int
	retries := 0
	c := small(3, 50)
	c.Clients[0].Picker = "mine"
	c.Clients[0].Policy.Breaker = noBreaker
	c.Changes = []sim.Change{{Kind: sim.Fail, Service: "s", Count: 1, At: 10 * time.Second, For: 10 * time.Second}}
	calls := 0
	r := mustRun(t, c, sim.WithPicker("mine", func(v sim.View, src rand.Source) sim.Picker {
		return &chooser{
			pick: func(servers, tried []int) int {
				if len(servers) != v.Len() || v.Weight(0) != 1 || src == nil {
					t.Errorf("servers %v of %d", servers, v.Len())
				}
				if len(tried) > 0 {
					retries++
					if tried[0] != 0 {
						t.Errorf("tried %v, want the first", tried)
					}
					return 1
				}
				if calls++; calls%10 == 0 {
					return -1
				}
				return 0
			},
			done: func(_ int, r balance.Result) { outcomes[r.Outcome]++ },
		}
	}))
	if outcomes[balance.Failure] == 0 || outcomes[balance.Failure]+outcomes[balance.Success] != int(r.AttemptsPerCall*float64(r.Calls)+.5) {
		t.Errorf("outcomes %v of %v attempts per call", outcomes, r.AttemptsPerCall)
	}
	if retries == 0 || r.Errors[report.ErrRejected] != r.Calls/10 {
		t.Errorf("%d retries, errors %v of %d calls", retries, r.Errors, r.Calls)
	}
}

// When nothing works retries end with the budget: calls of an outage come to
// hardly more than one attempt each. Without a bound they come to three.
func TestBudgetInAnOutage(t *testing.T) {
	attempts := func(budget retry.BudgetPolicy) float64 {
		c := small(10, 100)
		c.For = 5 * time.Minute
		c.Clients[0].Policy = transport.Policy{Breaker: noBreaker, Retry: retry.Policy{Budget: budget}}
		c.Changes = []sim.Change{{Kind: sim.Fail, Service: "s", At: time.Minute, For: 3 * time.Minute}}
		return mustRun(t, c).Between(70*time.Second, 230*time.Second).AttemptsPerCall
	}
	if got := attempts(retry.BudgetPolicy{}); got > 1.01 {
		t.Errorf("%v attempts per call in an outage, want 1", got)
	}
	if got := attempts(retry.BudgetPolicy{Cap: 10_000, Refill: 10_000, Window: time.Hour}); got < 2.9 {
		t.Errorf("%v attempts per call without a bound, want 3", got)
	}
}

// The service dies as a whole: the breaker opens, few calls go out, and soon
// after it is back all is well.
func TestBreakerOpensAndRecovers(t *testing.T) {
	c := small(5, 200)
	c.For, c.Events = 2*time.Minute, true
	c.Changes = []sim.Change{{Kind: sim.Down, Service: "s", At: 30 * time.Second, For: 30 * time.Second}}
	r := mustRun(t, c)
	if r.Opened == 0 {
		t.Fatal("the breaker never opened")
	}
	if out := r.Between(32*time.Second, 60*time.Second); out.Errors[report.ErrRejected] < out.Calls*9/10 || out.AttemptsPerCall > .1 {
		t.Errorf("in the outage %v of %d calls, %v attempts each", out.Errors, out.Calls, out.AttemptsPerCall)
	}
	if after, ok := r.RecoveredAfter(60*time.Second, .99); !ok || after > 20*time.Second {
		t.Errorf("recovered after %v (%v), want 20s at most", after, ok)
	}
	if before := r.Between(0, 29*time.Second); before.Success != 1 {
		t.Errorf("success %v before", before.Success)
	}
	var states []string
	for _, e := range r.Events {
		if e.Kind == report.Breaker {
			states = append(states, e.Detail)
		}
	}
	if len(states) < 3 || states[0] != "open" || states[len(states)-1] != "closed" {
		t.Errorf("breaker went %v", states)
	}
}

// Each kind of change has an effect, and none before it begins and after it has
// ended.
func TestChanges(t *testing.T) {
	from, to := 20*time.Second, 40*time.Second
	for name, tc := range map[string]struct {
		change sim.Change
		seen   func(r *report.Report) bool
	}{
		"slow":       {sim.Change{Kind: sim.Slow, Factor: 10}, func(r *report.Report) bool { return r.P50 > 50*ms }},
		"fail":       {sim.Change{Kind: sim.Fail, Share: .5}, func(r *report.Report) bool { return r.Errors["503"] > r.Calls/3 }},
		"fail a 500": {sim.Change{Kind: sim.Fail, Status: 500}, func(r *report.Report) bool { return r.Errors["500"] == r.Calls }},
		"down":       {sim.Change{Kind: sim.Down}, func(r *report.Report) bool { return r.Errors["refused"] > r.Calls*9/10 }},
		"hang":       {sim.Change{Kind: sim.Hang}, func(r *report.Report) bool { return r.Errors["timeout"] == r.Calls }},
		"leave":      {sim.Change{Kind: sim.Leave}, func(r *report.Report) bool { return r.Errors["rejected"] == r.Calls }},
		"churn": {sim.Change{Kind: sim.Churn, Every: ms, Away: dist.Constant(100 * ms)}, func(r *report.Report) bool {
			return r.Errors["rejected"]+r.Errors["reset"] > r.Calls/2
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := small(1, 100)
			c.Clients[0].Policy = patient("")
			c.Clients[0].Policy.Timeout, c.Clients[0].Policy.AttemptTimeout = time.Second, time.Second
			tc.change.Service, tc.change.At, tc.change.For = "s", from, to-from
			c.Changes = []sim.Change{tc.change}
			r := mustRun(t, c)
			if !tc.seen(r.Between(from+time.Second, to-time.Second)) {
				var b strings.Builder
				_ = r.Timeline(&b, 0)
				t.Errorf("not to be seen:\n%s%v", b.String(), r.Errors)
			}
			for _, part := range []*report.Report{r.Between(0, from-time.Second), r.Between(to+time.Second, c.For)} {
				if tc.seen(part) || part.Success != 1 {
					t.Errorf("seen from %v on for %v: success %v", part.Start, part.Duration, part.Success)
				}
			}
		})
	}
}

// A server that was restarted is another one: until clients have the new list
// they ask at an address where nobody answers.
func TestOldAddress(t *testing.T) {
	c := small(1, 100)
	c.Clients[0].Policy = patient("")
	c.Lists.Delay = dist.Constant(5 * time.Second)
	c.Changes = []sim.Change{{Kind: sim.Churn, Service: "s", Every: time.Minute, At: 10 * time.Second}}
	r := mustRun(t, c)
	if old := r.Between(11*time.Second, 15*time.Second); old.Errors[report.ErrRefused] != old.Calls {
		t.Errorf("%d calls of the old list: %v, want all refused", old.Calls, old.Errors)
	}
	if after := r.Between(25*time.Second, c.For); after.Success != 1 {
		t.Errorf("success %v with the new list", after.Success)
	}
}

// One of ten servers fails: the balancer leaves it out, and calls it again when
// it is well.
func TestEjection(t *testing.T) {
	c := small(10, 200)
	c.For = 3 * time.Minute
	c.Changes = []sim.Change{{Kind: sim.Fail, Status: 500, Service: "s", Count: 1, At: 30 * time.Second, For: 30 * time.Second}}
	r := mustRun(t, c)
	if r.Ejected == 0 {
		t.Error("never ejected")
	}
	sick := func(from, to int) int {
		n := 0
		for _, per := range r.ByReplica[0].PerSecond[from:to] {
			n += per
		}
		return n
	}
	if before, during, after := sick(0, 30), sick(32, 60), sick(150, 180); during > before/20 || after < before/2 {
		t.Errorf("%d calls before, %d while sick, %d after", before, during, after)
	}
}

// A server that gets twice what it can do: with the limiter those who get in
// are served in time.
func TestLimiter(t *testing.T) {
	goodput := func(l *limit.Settings) (float64, *sim.Result) {
		c := small(1, 200)
		c.Servers[0].Kind, c.Servers[0].Limit = sim.Sharing, l
		c.Clients[0].Policy = patient("")
		c.Clients[0].Policy.Timeout, c.Clients[0].Policy.AttemptTimeout = time.Second, time.Second
		r := mustRun(t, c)
		return r.Between(20*time.Second, c.For).Goodput, r
	}
	without, _ := goodput(nil)
	with, r := goodput(&limit.Settings{})
	if without > .2 || with < .4 || r.Errors["503"] == 0 {
		t.Errorf("goodput %v without and %v with the limiter, errors %v", without, with, r.Errors)
	}
}

// A healthy server at 93 % of what it can do refuses a call now and then, in
// bunches; five times too much and it refuses most. Neither opens a circuit: it
// does all it can.
func TestShedsOpenNoCircuit(t *testing.T) {
	skipWithRace(t)
	for _, rate := range []float64{280, 1500} {
		refused := 0
		for seed := range uint64(2) {
			c := small(1, rate)
			c.Seed, c.For = seed, 20*time.Second
			c.Servers[0].Kind, c.Servers[0].Time, c.Servers[0].Limit = sim.Queue, dist.Exponential(time.Second/300), &limit.Settings{}
			r, err := sim.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if refused += r.Calls - r.OK; r.Opened > 0 {
				t.Errorf("%v a second, seed %d: circuits opened %d times", rate, seed, r.Opened)
			}
			if served := float64(r.OK) / c.For.Seconds(); served < min(0.98*rate, 0.9*300) {
				t.Errorf("%v a second, seed %d: %.0f served a second", rate, seed, served)
			}
		}
		if refused == 0 {
			t.Errorf("%v a second: nothing was refused, so nothing is tested", rate)
		}
	}
}

// Requests that share the cores of a server all take longer when there are too
// many of them. At five times too much the limit keeps them few, however little
// each window tells of what is usual: an error now and then must not add up.
func TestLimitOfSharedCores(t *testing.T) {
	skipWithRace(t)
	for seed := range uint64(3) {
		c := small(1, 4000)
		c.Seed, c.For, c.Clients[0].Policy = seed, 25*time.Second, patient(balance.P2C)
		c.Servers[0].Kind, c.Servers[0].Cores, c.Servers[0].Limit = sim.Sharing, 8, &limit.Settings{}
		r := mustRun(t, c)
		late := r.Between(10*time.Second, 25*time.Second)
		if p99 := late.QuantileOK(0.99); p99 > 140*ms { // of one alone: 46 ms
			t.Errorf("seed %d: p99 %v", seed, p99)
		}
		if share := float64(late.OK) / 15 / 800; share < 0.93 {
			t.Errorf("seed %d: goodput %.3f of what the server can do", seed, share)
		}
	}
}

// What a server does for callers that have gone ends if it notices.
func TestCancels(t *testing.T) {
	late := func(kind string, cancels bool) (time.Duration, float64) {
		c := small(1, 120)
		c.Servers[0].Kind, c.Servers[0].Cancels = kind, cancels
		c.Clients[0].Policy = patient("")
		c.Clients[0].Policy.Timeout, c.Clients[0].Policy.AttemptTimeout = 100*ms, 100*ms
		r := mustRun(t, c)
		return r.LateWork, r.Success
	}
	for _, kind := range []string{sim.Queue, sim.Sharing} {
		_, without := late(kind, false)
		_, with := late(kind, true)
		if with < without+.2 {
			t.Errorf("%s: success %v where work is cancelled, %v where it runs on", kind, with, without)
		}
	}
}

func TestBacklog(t *testing.T) {
	c := small(1, 0)
	c.Servers[0] = sim.Servers{Service: "s", Kind: sim.Queue, Time: dist.Constant(time.Second), Workers: 2, Backlog: 3}
	c.Clients[0].Policy = patient("")
	c.Load[0] = load.Load{Client: "c", Service: "s", Kind: load.Burst, Burst: 10}
	r := mustRun(t, c)
	if r.OK != 5 || r.Errors["503"] != 5 || r.Quantile(1).Round(100*ms) != 3*time.Second {
		t.Errorf("%d served, the last after %v, errors %v; want 5 after 3s, 5 refused", r.OK, r.Quantile(1), r.Errors)
	}
	c.Servers[0].Backlog = -1
	if r := mustRun(t, c); r.OK != 2 {
		t.Errorf("%d served without a backlog, want 2", r.OK)
	}
}

// While the neighbours are idle half of the time, a server with one core of its
// own and three at best does twice the work of one core.
func TestBurst(t *testing.T) {
	c := small(1, 0)
	c.Clients[0].Policy = patient("")
	c.For = 10 * time.Minute
	c.Load[0] = load.Load{Client: "c", Service: "s", Kind: load.Closed, Workers: 10}
	c.Servers[0] = sim.Servers{
		Service: "s", Kind: sim.Sharing, Time: dist.Constant(100 * ms), Burst: 3,
		Busy: dist.Constant(time.Second), Idle: dist.Constant(time.Second),
	}
	r := mustRun(t, c)
	if got, want := float64(r.Calls)/c.For.Seconds(), 20.0; math.Abs(got/want-1) > .02 {
		t.Errorf("%.2f calls a second, want %v", got, want)
	}
}

// A worker of a closed loop makes its next call when the last is over, and one
// that is refused at once does not stop the clock.
func TestClosedLoop(t *testing.T) {
	c := small(1, 0)
	c.Load[0] = load.Load{Client: "c", Service: "s", Kind: load.Closed, Workers: 4, Think: dist.Constant(10 * ms)}
	c.Servers[0].Time = dist.Constant(40 * ms)
	if r := mustRun(t, c); r.Calls != 4*60_000/50 {
		t.Errorf("%d calls, want %d", r.Calls, 4*60_000/50)
	}
	c.Load[0].Think = dist.Dist{}
	c.Changes = []sim.Change{{Kind: sim.Leave, Service: "s", At: 30 * time.Second}}
	if r := mustRun(t, c); r.Errors[report.ErrRejected] != 4*30_000 {
		t.Errorf("%v, want %d rejected", r.Errors, 4*30_000)
	}
}

// The network's time counts, both ways.
func TestNetwork(t *testing.T) {
	c := small(1, 10)
	c.Network, c.Servers[0].Time = dist.Constant(20*ms), dist.Constant(10*ms)
	if r := mustRun(t, c); r.P50.Round(ms) != 50*ms || r.P9999.Round(ms) != 50*ms {
		t.Errorf("calls took %v and %v, want 50ms", r.P50, r.P9999)
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports := 0
	_, err := sim.Run(ctx, small(1, 100), sim.WithProgress(func(at time.Duration, calls int) {
		if reports++; at > 30*time.Second {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || reports < 40 || reports > 60 {
		t.Errorf("got %v after %d reports, want %v after about 50", err, reports, context.Canceled)
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		break_ func(*sim.Config)
		want   string
	}{
		"no time":         {func(c *sim.Config) { c.For = 0 }, "for is 0s"},
		"no clients":      {func(c *sim.Config) { c.Clients = nil }, `there are no clients "c"`},
		"no servers":      {func(c *sim.Config) { c.Servers = nil }, `there are no servers of "s"`},
		"a name twice":    {func(c *sim.Config) { c.Clients = append(c.Clients, c.Clients[0]) }, "the name is taken"},
		"a policy":        {func(c *sim.Config) { c.Clients[0].Policy.Timeout = -1 }, "timeout is -1ns"},
		"a kind":          {func(c *sim.Config) { c.Servers[0].Kind = "magic" }, `kind is "magic"`},
		"cores":           {func(c *sim.Config) { c.Servers[0].Cores = -1 }, "-1 cores"},
		"half neighbours": {func(c *sim.Config) { c.Servers[0].Busy = dist.Constant(ms) }, "busy and idle go together"},
		"a change":        {func(c *sim.Config) { c.Changes = []sim.Change{{Kind: "rot", Service: "s"}} }, "(rot): no such kind"},
		"a factor":        {func(c *sim.Config) { c.Changes = []sim.Change{{Kind: sim.Slow, Service: "s"}} }, "factor is 0"},
		"whom":            {func(c *sim.Config) { c.Changes = []sim.Change{{Kind: sim.Down}} }, "there are no servers"},
		"how many":        {func(c *sim.Config) { c.Changes = []sim.Change{{Kind: sim.Down, Service: "s", First: 3, Count: 3}} }, "3 servers from 3 on, there are 5"},
		"a picker":        {func(c *sim.Config) { c.Clients[0].Picker = "x" }, `there is no picker "x"`},
		"too many":        {func(c *sim.Config) { c.Clients[0].Count, c.Servers[0].Count = 100_000, 50_000 }, "pairs"},
		"a distribution":  {func(c *sim.Config) { c.Network.Kind = "bell" }, "network: "},
		"a load":          {func(c *sim.Config) { c.Load[0].Rate = -1 }, "load 0: "},
		"a limit":         {func(c *sim.Config) { c.Servers[0].Limit = &limit.Settings{Min: -1} }, "min -1"},
		"a huge factor": {func(c *sim.Config) {
			c.Changes = []sim.Change{{Kind: sim.Slow, Service: "s", Factor: math.Inf(1)}}
		}, "factor is +Inf"},
		"an unread file": {func(c *sim.Config) {
			c.Servers[0].Time = dist.Dist{Kind: dist.KindQuantiles, File: "q.csv"}
		}, `file "q.csv" has not been read`},
		"an unread replay": {func(c *sim.Config) {
			c.Load[0] = load.Load{Client: "c", Service: "s", Kind: load.Replay, File: "log.txt"}
		}, "file has not been read"},
	} {
		t.Run(name, func(t *testing.T) {
			c := small(5, 10)
			tc.break_(&c)
			_, err := sim.Run(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
	if err := small(5, 10).Validate(); err != nil {
		t.Error(err)
	}
}

// What takes next to for ever does not come round to taking no time.
func TestNextToNoCores(t *testing.T) {
	for name, slow := range map[string]func(*sim.Config){
		"cores": func(c *sim.Config) { c.Servers[0].Cores = 1e-300 },
		"factors": func(c *sim.Config) {
			c.Servers[0].Kind = sim.Delay
			for range 4 {
				c.Changes = append(c.Changes, sim.Change{Kind: sim.Slow, Service: "s", Factor: 1e6})
			}
		},
	} {
		c := small(1, 10)
		c.Servers[0].Kind, c.Servers[0].Time = sim.Sharing, dist.Constant(ms)
		slow(&c)
		r, err := sim.Run(t.Context(), c)
		if err != nil || r.OK != 0 || r.Calls == 0 {
			t.Errorf("%s: %v, %d of %d calls were OK, want none", name, err, r.OK, r.Calls)
		}
	}
}

// An endpoint that hangs is found out though the callers' own deadlines are
// shorter than an attempt's, which the breakers are not told.
func TestCallersDeadline(t *testing.T) {
	c := small(5, 10)
	c.Load[0].Timeout = 100 * ms
	c.Changes = []sim.Change{{Kind: sim.Hang, Service: "s", Count: 1}}
	r, err := sim.Run(t.Context(), c)
	if err != nil || r.Ejected == 0 || r.Opened != 0 {
		t.Errorf("%v, %d ejected and %d opened, want some and none", err, r.Ejected, r.Opened)
	}
}

// Calls that are late are sent a second time, elsewhere, and the first answer
// counts: nobody waits for a server that is stuck. At no second have there been
// more hedges than the policy allows, also when all servers slow down.
func TestHedging(t *testing.T) {
	c := small(10, 200)
	c.For = 2 * time.Minute
	c.Servers[0].Time = dist.FromQuantiles(
		dist.Quantile{Q: 0, D: 8 * ms}, dist.Quantile{Q: 0.99, D: 15 * ms},
		dist.Quantile{Q: 0.991, D: time.Second}, dist.Quantile{Q: 1, D: 1500 * ms})
	c.Servers[0].Cancels = true
	c.Changes = []sim.Change{{Kind: sim.Slow, Service: "s", At: time.Minute, Factor: 2}}
	plain := mustRun(t, c)
	c.Clients[0].Policy.Hedge.On = true
	hedged := mustRun(t, c, sim.WithRecords(true))
	before, after := plain.Between(10*time.Second, time.Minute), hedged.Between(10*time.Second, time.Minute)
	if q, p := before.Quantile(0.995), after.Quantile(0.995); q < time.Second || p > 60*ms {
		t.Errorf("p99.5 %v without hedges, %v with them", q, p)
	}
	if hedged.OK != hedged.Calls {
		t.Errorf("%d of %d calls went well", hedged.OK, hedged.Calls)
	}
	for s := range 120 {
		soFar := hedged.Between(0, time.Duration(s+1)*time.Second)
		if soFar.ExtraRequests > 0.0201 {
			t.Fatalf("%.4f extra requests a call after %d s", soFar.ExtraRequests, s+1)
		}
	}
}

// A hedge that fails at once loses to the attempt that it was to overtake, and a
// service that sheds is not hedged.
func TestHedgesThatAreOfNoUse(t *testing.T) {
	c := small(2, 100)
	c.Servers[0].Time = dist.FromQuantiles(dist.Quantile{Q: 0, D: 10 * ms}, dist.Quantile{Q: 1, D: 100 * ms})
	c.Clients[0].Policy = transport.Policy{Hedge: retry.Hedge{On: true, Share: 0.5},
		Balance: balance.Policy{Name: balance.RoundRobin, Ejection: balance.Ejection{Disabled: true}}, Retry: retry.Policy{Attempts: 1}}
	c.Changes = []sim.Change{{Kind: sim.Fail, Service: "s", Count: 1, At: 30 * time.Second, Share: 0.5, Status: 500}}
	r := mustRun(t, c)
	first, second := r.Between(10*time.Second, 30*time.Second), r.Between(30*time.Second, time.Minute)
	if first.ExtraRequests == 0 || first.OK != first.Calls {
		t.Errorf("%.3f extra requests, %d of %d well", first.ExtraRequests, first.OK, first.Calls)
	}
	if bad := float64(second.Calls-second.OK) / float64(second.Calls); bad > 0.27 {
		t.Errorf("%.3f of the calls failed, where the first attempt of a quarter does", bad)
	}
	c.Changes[0].Status, c.Changes[0].Share = 429, 1
	if e := mustRun(t, c).Between(32*time.Second, time.Minute).ExtraRequests; e > 0.01 {
		t.Errorf("%.3f extra requests a call while a server says that it is too busy", e)
	}
}
