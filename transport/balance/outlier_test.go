package balance_test

import (
	"fmt"
	"testing"
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
