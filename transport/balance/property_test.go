package balance_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
	"pgregory.net/rapid"
)

// machine makes random steps and checks after each what must always hold.
type machine struct {
	b       *balance.Balancer
	policy  balance.Policy
	list    []discovery.Instance
	flying  []*balance.Endpoint
	counted map[*balance.Endpoint]int
	told    map[*balance.Endpoint]bool // left out, as the observer was told
}

func newMachine(t *rapid.T) *machine {
	m := &machine{counted: map[*balance.Endpoint]int{}, told: map[*balance.Endpoint]bool{}}
	m.policy = drawPolicy(t)
	b, err := balance.New(m.policy, balance.WithCaller(balance.Caller{Zone: "a"}),
		balance.WithRand(random.New(rapid.Uint64().Draw(t, "seed"))), // so that a failure can be repeated
		balance.WithObserver(balance.Observer{
			Joined: func(e *balance.Endpoint) { // it may have been there before
				if e.State() != balance.Available {
					m.told[e] = true
				}
			},
			Ejected:  func(e *balance.Endpoint, _ balance.Reason) { m.told[e] = true },
			Returned: func(e *balance.Endpoint) { delete(m.told, e) },
			Departed: func(e *balance.Endpoint) { delete(m.told, e) },
		}))
	if err != nil {
		t.Fatal(err)
	}
	m.b = b
	return m
}

// drawPolicy returns a policy and settings that make rare things happen.
func drawPolicy(t *rapid.T) balance.Policy {
	durations := rapid.SampledFrom([]time.Duration{0, 0, time.Second, time.Minute})
	return balance.Policy{
		Name:      rapid.SampledFrom(policies).Draw(t, "policy"),
		SlowStart: rapid.SampledFrom([]time.Duration{0, -1, 5 * time.Second}).Draw(t, "slow start"),
		Ejection: balance.Ejection{
			Disabled:       rapid.IntRange(0, 9).Draw(t, "disabled") == 0,
			Consecutive:    rapid.SampledFrom([]int{0, 1, 1000}).Draw(t, "consecutive"),
			Interval:       durations.Draw(t, "interval"),
			MinCalls:       rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "min calls"),
			FailurePercent: rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "failure percent"),
			LatencyFactor:  rapid.SampledFrom([]float64{0, 2}).Draw(t, "latency factor"),
			Base:           durations.Draw(t, "base"),
			MaxPercent:     rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "max percent"),
			PanicPercent:   rapid.SampledFrom([]int{0, 1, 90}).Draw(t, "panic percent"),
		},
		Zones: balance.Zones{Disabled: rapid.Bool().Draw(t, "zones"), MinEndpoints: 1, MinLocal: 1},
	}
}

// SetPolicy changes the policy, and nothing that is known about endpoints.
func (m *machine) SetPolicy(t *rapid.T) {
	before, known := m.b.Endpoints(), m.b.Explain(balance.Call{}).Endpoints
	m.policy = drawPolicy(t)
	if err := m.b.SetPolicy(m.policy); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, m.b.Endpoints()) {
		t.Fatal("the endpoints have changed")
	}
	for i, now := range m.b.Explain(balance.Call{}).Endpoints {
		was := known[i]
		if m.policy.Ejection.Disabled && was.State != balance.Available { // it is back, if it was ejected
			was.Latency = now.Latency
			if was.State == balance.Ejected {
				was.State = balance.Available
			}
		}
		if now.State != was.State || now.InFlight != was.InFlight || now.Latency != was.Latency ||
			now.Failing != was.Failing || now.Reported != was.Reported || now.ReportAge != was.ReportAge {
			t.Fatalf("was %+v, is %+v", was, now)
		}
	}
}

// SetPeers says who else calls.
func (m *machine) SetPeers(t *rapid.T) {
	m.b.SetPeers(balance.Peers{Zones: map[string]int{
		"a": rapid.IntRange(0, 3).Draw(t, "a"), "b": rapid.IntRange(0, 3).Draw(t, "b"),
	}})
}

func (m *machine) Report(t *rapid.T) {
	if all := m.b.Endpoints(); len(all) > 0 {
		rapid.SampledFrom(all).Draw(t, "endpoint").Report(balance.Load{
			RIF: rapid.IntRange(-1, 50).Draw(t, "rif"), Latency: time.Duration(rapid.IntRange(0, 100).Draw(t, "latency")) * ms,
			Utilization: rapid.Float64Range(0, 2).Draw(t, "utilization"), QPS: rapid.Float64Range(0, 1000).Draw(t, "qps"),
		})
	}
}

func (m *machine) Update(t *rapid.T) {
	m.list = nil
	for _, in := range instances(8) {
		switch rapid.IntRange(0, 9).Draw(t, "change") {
		case 0, 1:
			continue
		case 2:
			in.Addr = "10.1.1.1:" + in.ID[5:]
		case 3:
			in.Weight = -1
		case 4:
			in.Weight = 5
		}
		in.Zone = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")
		m.list = append(m.list, in)
	}
	m.b.Update(m.list)
}

func (m *machine) Pick(t *rapid.T) {
	var tried []*balance.Endpoint
	for range rapid.IntRange(1, 4).Draw(t, "attempts") {
		e, err := m.b.Pick(tried)
		if err != nil {
			m.wantNone(t, err)
			return
		}
		if e.State() == balance.Draining {
			t.Fatalf("picked %s, which is draining", e.ID())
		}
		if slices.Contains(tried, e) {
			m.wantAllTried(t, tried)
		}
		m.counted[e]++
		m.flying = append(m.flying, e)
		tried = append(tried, e)
	}
}

func (m *machine) wantAllTried(t *rapid.T, tried []*balance.Endpoint) {
	for _, e := range m.b.Endpoints() {
		if e.State() == balance.Available && !slices.Contains(tried, e) {
			t.Fatalf("picked one that was tried, but there is %s", e.ID())
		}
	}
}

func (m *machine) wantNone(t *rapid.T, err error) {
	for _, in := range m.list {
		if in.Weight >= 0 {
			t.Fatalf("no instance for a call, but there is %s", in.ID)
		}
	}
	if !errors.Is(err, balance.ErrNoInstances) {
		t.Fatalf("got %v", err)
	}
}

func (m *machine) Done(t *rapid.T) {
	if len(m.flying) == 0 {
		t.Skip("nothing in flight")
	}
	i := rapid.IntRange(0, len(m.flying)-1).Draw(t, "call")
	answered := rapid.Bool().Draw(t, "answered")
	if answered {
		m.flying[i].Answered(time.Duration(rapid.IntRange(0, 3000).Draw(t, "wait")) * ms)
	}
	m.done(i, balance.Result{
		Answered: answered, Latency: time.Duration(rapid.IntRange(0, 3000).Draw(t, "latency")) * ms,
		Outcome: balance.Outcome(rapid.IntRange(0, 5).Draw(t, "outcome")),
		Rest:    rapid.SampledFrom([]time.Duration{0, 0, 0, time.Second, time.Hour}).Draw(t, "rest"),
	})
}

func (m *machine) done(i int, r balance.Result) {
	e := m.flying[i]
	m.flying[i] = m.flying[len(m.flying)-1]
	m.flying = m.flying[:len(m.flying)-1]
	m.counted[e]--
	e.Done(r)
}

// Fail is a run of failures, which random outcomes seldom are.
func (m *machine) Fail(t *rapid.T) {
	outcome := rapid.SampledFrom([]balance.Outcome{balance.Failure, balance.ConnectError, balance.Timeout}).Draw(t, "outcome")
	for range rapid.IntRange(1, 20).Draw(t, "calls") {
		if e, err := m.b.Pick(nil); err == nil {
			e.Done(balance.Result{Outcome: outcome})
		}
	}
}

func (m *machine) Sleep(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * ms)
}

func (m *machine) Check(t *rapid.T) {
	for e, n := range m.counted {
		if got := e.InFlight(); got != n {
			t.Fatalf("%s has %d in flight, want %d", e.ID(), got, n)
		}
	}
	var s balance.Stats
	for _, e := range m.b.Endpoints() {
		switch e.State() {
		case balance.Available:
			s.Available++
		case balance.Ejected:
			s.Ejected++
		case balance.Unreachable:
			s.Unreachable++
		case balance.Draining:
			s.Draining++
		}
		if out := e.State() == balance.Ejected || e.State() == balance.Unreachable; out && !m.told[e] {
			t.Fatalf("%s is %v, and the observer was not told", e.ID(), e.State())
		}
	}
	live := s.Available + s.Ejected + s.Unreachable
	s.Panic = s.Available*100 < m.policy.WithDefaults().Ejection.PanicPercent*live
	if got := m.b.Stats(); got != s {
		t.Fatalf("stats %+v, want %+v", got, s)
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var panicked any // rapid ends a failed run so, and wants to see it
		synctest.Test(t, func(*testing.T) {
			defer func() { panicked = recover() }()
			property(rt)
		})
		if panicked != nil {
			panic(panicked)
		}
	})
}

func property(t *rapid.T) {
	m := newMachine(t)
	t.Repeat(map[string]func(*rapid.T){
		"update": m.Update, "pick": m.Pick, "done": m.Done, "fail": m.Fail, "sleep": m.Sleep,
		"policy": m.SetPolicy, "peers": m.SetPeers, "report": m.Report, "": m.Check,
	})
	for len(m.flying) > 0 {
		m.done(0, success)
	}
	m.Check(t)
	// Whatever has happened, a service that works is all in use soon.
	for range 2000 {
		time.Sleep(time.Second)
		if e, err := m.b.Pick(nil); err == nil {
			e.Done(success)
		}
	}
	if s := m.b.Stats(); s.Ejected+s.Unreachable > 0 {
		t.Fatalf("%+v after half an hour without failures", s)
	}
}

// Going round, each endpoint has at any time had its share of the calls within
// 1, counted from where a cycle begins: so within 2 counted from anywhere, and
// exactly that at the end of each cycle.
func TestRoundRobinHoldsWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 30), 1, 8).Draw(t, "weights")
		sum := 0
		for _, w := range weights {
			sum += w
		}
		b, err := balance.New(balance.Policy{Name: balance.RoundRobin}, balance.WithRand(random.New(rapid.Uint64().Draw(t, "seed"))))
		if err != nil {
			t.Fatal(err)
		}
		b.Update(weighted(weights...))
		count := map[*balance.Endpoint]int{}
		for n := 1; n <= 2*sum; n++ {
			e, err := b.Pick(nil)
			if err != nil {
				t.Fatal(err)
			}
			count[e]++
			e.Done(success)
			for i, e := range b.Endpoints() {
				off := float64(count[e]) - float64(n*weights[i])/float64(sum)
				if off <= -2 || off >= 2 || n%sum == 0 && off != 0 {
					t.Fatalf("%d of %d calls to the one with weight %d of %d", count[e], n, weights[i], sum)
				}
			}
		}
	})
}
