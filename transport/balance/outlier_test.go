package balance_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// inTurn is a policy for tests about intervals: every endpoint gets as many
// calls as the others, however it does, and a row of failures means nothing.
func inTurn(e balance.Ejection) balance.Policy {
	e.Consecutive = 1 << 20
	return balance.Policy{Name: balance.RoundRobin, SlowStart: -1, Ejection: e}
}

// rounds gives every endpoint a call a round, of which the first percent[i] of
// a hundred fail, spread over d.
func rounds(t *testing.T, b *balance.Balancer, n int, d time.Duration, percent []int) {
	t.Helper()
	index := map[*balance.Endpoint]int{}
	for i, e := range b.Endpoints() {
		index[e] = i
	}
	made := make([]int, len(percent))
	for range n {
		for range percent {
			e := pick(t, b)
			i := index[e]
			made[i]++
			if made[i]*percent[i]/100 > (made[i]-1)*percent[i]/100 {
				e.Done(failure)
			} else {
				e.Done(success)
			}
		}
		time.Sleep(d / time.Duration(n))
	}
}

// ejectedBy returns which of the endpoints are ejected.
func ejectedBy(b *balance.Balancer) (list []int) {
	for i, e := range b.Endpoints() {
		if e.State() == balance.Ejected {
			list = append(list, i)
		}
	}
	return list
}

func TestFailureRate(t *testing.T) {
	for _, c := range []struct {
		name    string
		percent []int // of each endpoint's calls, 100 in 10 s, that fail
		want    []int // the endpoints that are ejected
	}{
		{"one fails more than half", []int{0, 0, 51, 0, 0}, []int{2}},
		{"one fails half", []int{0, 0, 50, 0, 0}, nil},
		{"99 % against 100 %", []int{0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, nil},
		{"20 points worse than the median", []int{40, 40, 60, 40, 40}, []int{2}},
		{"19 points worse than the median", []int{41, 41, 60, 41, 41}, nil},
		{"all fail alike", []int{80, 80, 80, 80, 80}, nil},
		{"the worst first", []int{60, 0, 0, 90, 0, 0, 70}, []int{3, 6}},
		{"as many as may be", []int{90, 90, 90, 90, 0, 0, 0, 0, 0, 0}, []int{0, 1, 2}},
		{"more than half fail", []int{90, 90, 90, 90, 90, 90, 0, 0, 0, 0}, nil},
		{"half fail", []int{90, 90, 90, 0, 0, 0}, []int{0}},
		{"one of two", []int{90, 0}, nil},
		{"the only one", []int{100}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, inTurn(balance.Ejection{}), len(c.percent), func(t *testing.T, b *balance.Balancer, _ []*balance.Endpoint) {
				rounds(t, b, 120, 12*time.Second, c.percent)
				if got := ejectedBy(b); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("ejected %v, want %v", got, c.want)
				}
			})
		})
	}
}

// Every setting of the rule does what it says.
func TestFailureRateSettings(t *testing.T) {
	for name, c := range map[string]struct {
		ejection balance.Ejection
		rounds   int // in 12 s
		percent  int // of the calls of one of five that fail
		want     bool
	}{
		"too few calls":      {balance.Ejection{}, 20, 80, false},
		"enough calls":       {balance.Ejection{}, 30, 80, true},
		"fewer are enough":   {balance.Ejection{MinCalls: 10}, 20, 80, true},
		"more must fail":     {balance.Ejection{FailurePercent: 80}, 120, 80, false},
		"fewer need fail":    {balance.Ejection{FailurePercent: 10}, 120, 25, true},
		"the gap decides":    {balance.Ejection{FailurePercent: 10}, 120, 19, false},
		"a smaller gap":      {balance.Ejection{FailurePercent: 10, Gap: 5}, 120, 19, true},
		"rule off":           {balance.Ejection{FailurePercent: 100}, 120, 100, false},
		"ejection off":       {balance.Ejection{Disabled: true}, 120, 100, false},
		"interval not over":  {balance.Ejection{Interval: 20 * time.Second}, 120, 80, false},
		"a shorter interval": {balance.Ejection{Interval: 3 * time.Second}, 120, 80, true},
		"too short for 20":   {balance.Ejection{Interval: time.Second}, 120, 80, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, inTurn(c.ejection), 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				rounds(t, b, c.rounds, 12*time.Second, []int{0, 0, 0, c.percent, 0})
				if got := all[3].State() == balance.Ejected; got != c.want {
					t.Errorf("ejected: %v, want %v", got, c.want)
				}
			})
		})
	}
}

// Calls that say nothing about the endpoint do not count, and being busy is no
// failure.
func TestFailureRateCountsVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		pattern []balance.Result // of the calls to one of five, over and over
		want    bool
	}{
		"half fail":                         {[]balance.Result{failure, success}, false},
		"half of those not cancelled fail":  {[]balance.Result{failure, cancelled, success, cancelled}, false},
		"most of those not cancelled fail":  {[]balance.Result{failure, cancelled, failure, cancelled, cancelled, success}, true},
		"all but the cancelled fail":        {[]balance.Result{failure, cancelled}, true},
		"every other one is refused":        {[]balance.Result{failure, {Outcome: balance.Overload}}, false},
		"failures, timeouts, and successes": {[]balance.Result{failure, success, timeout, success, failure}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, inTurn(balance.Ejection{}), 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				n := 0
				for range 5 * 240 {
					e := pick(t, b)
					r := success
					if e == all[1] {
						r = c.pattern[n%len(c.pattern)]
						n++
					}
					e.Done(r)
					time.Sleep(10 * ms)
				}
				if got := all[1].State() == balance.Ejected; got != c.want {
					t.Errorf("ejected: %v, want %v", got, c.want)
				}
			})
		})
	}
}

// An interval is judged by what happened in it: not by what came before, and not
// long after.
func TestIntervals(t *testing.T) {
	none, half, bad := []int{0, 0, 0}, []int{49, 0, 0}, []int{100, 0, 0}
	inBubble(t, inTurn(balance.Ejection{}), 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		rounds(t, b, 1000, 60*time.Second, none) // of these nothing is kept
		rounds(t, b, 30, 9*time.Second, bad)
		wantState(t, all[0], balance.Available) // the interval is not over
		rounds(t, b, 20, time.Minute, none)     // and nobody asks when it is
		rounds(t, b, 1, time.Second, bad)
		wantState(t, all[0], balance.Available) // all that is long ago
		for range 10 {
			rounds(t, b, 30, 10*time.Second, half)
		}
		wantState(t, all[0], balance.Available)
		rounds(t, b, 63, 21*time.Second, bad) // there is one whole interval in this
		wantState(t, all[0], balance.Ejected)
	})
}

// Both rules count up the same ejections, and an endpoint that comes back is not
// held to what it did before.
func TestFailureRateThenProbe(t *testing.T) {
	inBubble(t, inTurn(balance.Ejection{}), 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for all[0].State() == balance.Available {
			rounds(t, b, 1, 300*ms, []int{100, 0, 0})
		}
		within(t, "risked", awaitRisk(t, b, all[0], time.Minute), 10*time.Second-5*ms, 11*time.Second+5*ms)
		all[0].Done(failure)
		within(t, "risked", awaitRisk(t, b, all[0], time.Minute), 20*time.Second-5*ms, 22*time.Second+5*ms)
		all[0].Done(success)
		wantState(t, all[0], balance.Available)
		rounds(t, b, 100, 30*time.Second, []int{49, 0, 0})
		wantState(t, all[0], balance.Available)
	})
}

// What failed before an endpoint was ejected in the middle of an interval is not
// held against it when it is back before the end.
func TestReturnWithinInterval(t *testing.T) {
	p := balance.Policy{Name: balance.RoundRobin, SlowStart: -1, Ejection: balance.Ejection{Base: time.Second, Interval: 30 * time.Second}}
	inBubble(t, p, 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for range 60 { // too seldom in a row, until the end
			give(t, b, all[0], failure, 4)
			give(t, b, all[0], success, 1)
		}
		give(t, b, all[0], failure, 5)
		wantState(t, all[0], balance.Ejected)
		awaitRisk(t, b, all[0], 2*time.Second)
		all[0].Done(success)
		for range 40 {
			rounds(t, b, 4, time.Second, []int{25, 0, 0})
			wantState(t, all[0], balance.Available)
		}
	})
}

// A change of the rules begins a new interval.
func TestIntervalOfNewPolicy(t *testing.T) {
	p := inTurn(balance.Ejection{})
	inBubble(t, p, 3, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		rounds(t, b, 30, 5*time.Second, []int{100, 0, 0})
		p.Ejection.Gap = 10
		if err := b.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		rounds(t, b, 30, 9*time.Second, []int{100, 0, 0})
		wantState(t, all[0], balance.Available)
		rounds(t, b, 10, 2*time.Second, []int{100, 0, 0})
		wantState(t, all[0], balance.Ejected)
	})
}

// Who is ejected already when the interval is over is not ejected twice.
func TestEjectedWithinInterval(t *testing.T) {
	inBubble(t, balance.Policy{Name: balance.RoundRobin}, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		var flying []*balance.Endpoint
		for range 40 {
			flying = append(flying, hit(t, b, all[0]))
		}
		for _, e := range flying {
			e.Done(failure)
		}
		wantState(t, all[0], balance.Ejected)
		calls(t, b, 900, success)
		time.Sleep(10 * time.Second)
		give(t, b, all[1], failure, 1) // the interval is over
		within(t, "risked", awaitRisk(t, b, all[0], time.Minute), 0, time.Second+5*ms)
		all[0].Done(success)
	})
}

// Slow ejects only where it is asked for.
func TestHighLatency(t *testing.T) {
	for name, c := range map[string]struct {
		policy balance.Policy
		times  []time.Duration
		want   []int
	}{
		"off":                 {balance.Policy{Name: balance.RoundRobin}, []time.Duration{900 * ms, 10 * ms, 10 * ms, 10 * ms}, nil},
		"above":               {latencyFactor(3), []time.Duration{10 * ms, 10 * ms, 31 * ms, 10 * ms}, []int{2}},
		"not above":           {latencyFactor(3), []time.Duration{10 * ms, 10 * ms, 30 * ms, 10 * ms}, nil},
		"half of them":        {latencyFactor(3), []time.Duration{10 * ms, 10 * ms, 40 * ms, 50 * ms}, []int{3}},
		"no time at all":      {latencyFactor(3), []time.Duration{0, 0, 0, 0}, nil},
		"too few calls":       {inTurn(balance.Ejection{LatencyFactor: 3, MinCalls: 200}), []time.Duration{10 * ms, 10 * ms, 90 * ms, 10 * ms}, nil},
		"the default's peaks": {balance.Policy{Ejection: balance.Ejection{LatencyFactor: 3}}, []time.Duration{10 * ms, 10 * ms, 25 * ms, 10 * ms}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var reasons []balance.Reason
			note := balance.WithObserver(balance.Observer{Ejected: func(_ *balance.Endpoint, r balance.Reason) { reasons = append(reasons, r) }})
			synctest.Test(t, func(t *testing.T) {
				b := newBalancer(t, c.policy, len(c.times), note)
				index := map[*balance.Endpoint]int{}
				for i, e := range b.Endpoints() {
					index[e] = i
				}
				s := func(e *balance.Endpoint) balance.Result { return balance.Result{Latency: c.times[index[e]]} }
				openLoop(t, b, 50, 15*time.Second, s)
				if got := ejectedBy(b); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("ejected %v, want %v", got, c.want)
				}
				for _, r := range reasons {
					if r != balance.HighLatency {
						t.Errorf("ejected for %s", r)
					}
				}
			})
		})
	}
}

func latencyFactor(f float64) balance.Policy {
	return inTurn(balance.Ejection{LatencyFactor: f})
}
