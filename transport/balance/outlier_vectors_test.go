package balance_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// byStdev is the success rate algorithm of gRFC A50 and of Envoy's outlier
// detection with their defaults, written down from their text: who succeeds less
// often than the mean minus 1.9 standard deviations, from five hosts on.
func byStdev(failing []int) (ejected []int) {
	if len(failing) < 5 {
		return nil
	}
	mean, variance := 0.0, 0.0
	for _, f := range failing {
		mean += float64(100-f) / float64(len(failing))
	}
	for _, f := range failing {
		variance += (float64(100-f) - mean) * (float64(100-f) - mean) / float64(len(failing))
	}
	for i, f := range failing {
		if float64(100-f) < mean-1.9*math.Sqrt(variance) {
			ejected = append(ejected, i)
		}
	}
	return ejected
}

// byPercentage is the failure percentage algorithm of the same: who fails more
// often than 85 %, from five hosts on.
func byPercentage(failing []int) (ejected []int) {
	for i, f := range failing {
		if f > 85 && len(failing) >= 5 {
			ejected = append(ejected, i)
		}
	}
	return ejected
}

// The cases that gRFC A50 and Envoy decide by two algorithms, decided by our
// one. All of the calls of each endpoint are in one interval, and up to all of
// the endpoints may be ejected.
func TestOutlierVectors(t *testing.T) {
	for _, c := range []struct {
		name                string
		failing             []int // percent of each endpoint's calls
		stdev, percent, our []int // who is ejected
	}{
		// The same.
		{"nobody fails", []int{0, 0, 0, 0, 0}, nil, nil, nil},
		{"all fail a little", []int{5, 5, 5, 5, 5}, nil, nil, nil},
		{"one fails always", []int{0, 0, 0, 0, 100}, []int{4}, []int{4}, []int{4}},
		{"one fails almost always", []int{0, 86, 0, 0, 0}, []int{1}, []int{1}, []int{1}},

		// Standard deviations measure how alike the rest is, not how bad one is.
		// If all others are perfect, an endpoint that fails once is an outlier;
		// ours wants it to be of no use, and 20 points worse than usual.
		{"one call in a hundred fails", []int{0, 0, 0, 0, 1}, []int{4}, nil, nil},
		{"a third fails", []int{0, 0, 0, 0, 33}, []int{4}, nil, nil},
		// They also hide each other: with a share p of bad ones the rule is
		// blind from p + 1.9 sqrt(p(1-p)) >= 1 on, which is 21.7 %.
		{"two of eight fail always", []int{0, 0, 100, 0, 0, 100, 0, 0}, nil, []int{2, 5}, []int{2, 5}},
		{"two of eight fail mostly", []int{0, 0, 80, 0, 0, 80, 0, 0}, nil, nil, []int{2, 5}},
		// The percentage is absolute, so it ejects a set that fails as a whole;
		// ours compares.
		{"all fail almost always", []int{90, 90, 90, 90, 90}, nil, []int{0, 1, 2, 3, 4}, nil},
		{"most fail almost always", []int{90, 90, 90, 0, 0}, nil, []int{0, 1, 2}, nil},
		// And it is so high that what lies below goes on for ever.
		{"one fails mostly", []int{60, 0, 0, 0, 0}, []int{0}, nil, []int{0}},
		{"all fail, one more", []int{40, 40, 40, 40, 70}, []int{4}, nil, []int{4}},
		// Five hosts at least are wanted to know what is usual. The median of
		// three is, and the services of most have no more.
		{"one of three", []int{0, 0, 100}, nil, nil, []int{2}},
		{"one of two", []int{0, 100}, nil, nil, []int{1}},
		{"the only one", []int{100}, nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := byStdev(c.failing); !slices.Equal(got, c.stdev) {
				t.Errorf("their success rate ejects %v, want %v", got, c.stdev)
			}
			if got := byPercentage(c.failing); !slices.Equal(got, c.percent) {
				t.Errorf("their failure percentage ejects %v, want %v", got, c.percent)
			}
			p := inTurn(balance.Ejection{MaxPercent: 100})
			inBubble(t, p, len(c.failing), func(t *testing.T, b *balance.Balancer, _ []*balance.Endpoint) {
				rounds(t, b, 120, 12*time.Second, c.failing)
				if got := ejectedBy(b); !slices.Equal(got, c.our) {
					t.Errorf("ours ejects %v, want %v", got, c.our)
				}
			})
		})
	}
}

// How many of n endpoints may be ejected. gRFC A50 and Envoy look whether the
// limit is reached before each ejection, and so round up: 10 % of five is one.
// Ours rounds down, so that the limit is one; but one of three, which is more
// than 30 %, may go, since the others can stand in for it. And the last that is
// available never goes, where theirs may eject all.
func TestMaxEjectionVectors(t *testing.T) {
	theirs := func(n, percent int) int {
		ejected := 0
		for ejected < n && ejected*100 < percent*n {
			ejected++
		}
		return ejected
	}
	for _, c := range []struct{ percent, n, theirs, ours int }{
		{10, 1, 1, 0}, {10, 2, 1, 0}, {10, 3, 1, 1}, {10, 5, 1, 1}, {10, 10, 1, 1}, {10, 11, 2, 1}, {10, 20, 2, 2},
		{30, 3, 1, 1}, {30, 4, 2, 1}, {30, 10, 3, 3},
		{50, 2, 1, 1}, {50, 3, 2, 1}, {50, 10, 5, 5},
		{100, 1, 1, 0}, {100, 2, 2, 1}, {100, 10, 10, 9},
	} {
		if got := theirs(c.n, c.percent); got != c.theirs {
			t.Errorf("%d %% of %d: theirs ejects %d, want %d", c.percent, c.n, got, c.theirs)
		}
		p := balance.Policy{Name: balance.RoundRobin, Ejection: balance.Ejection{MaxPercent: c.percent}}
		inBubble(t, p, c.n, func(t *testing.T, b *balance.Balancer, _ []*balance.Endpoint) {
			calls(t, b, 100*c.n, failure)
			if got := len(ejectedBy(b)); got != c.ours {
				t.Errorf("%d %% of %d: %d ejected, want %d", c.percent, c.n, got, c.ours)
			}
		})
	}
}

// How long ejections last: gRFC A50's base_ejection_time 30 s times a multiplier
// that counts up with each ejection, max_ejection_time 300 s. The same, but for
// the jitter of up to 10 %, which A50 has not and Envoy adds as an option: those
// who were ejected together do not come back together.
//
// Theirs counts down by one for every interval (10 s) that an address is not
// ejected; ours for every base time, or an endpoint that fails every half a
// minute would never be out for longer than the first time. Theirs are back when
// an interval ends after their time; ours when a call that was risked on them
// succeeds.
func TestEjectionTimeVectors(t *testing.T) {
	p := balance.Policy{Name: balance.RoundRobin, SlowStart: -1, Ejection: balance.Ejection{Base: 30 * time.Second}}
	inBubble(t, p, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		for i, c := range []struct{ healthy, out time.Duration }{
			{time.Hour, 30 * time.Second},
			{0, 60 * time.Second},
			{0, 90 * time.Second},
			{29 * time.Second, 120 * time.Second},
			{31 * time.Second, 120 * time.Second},
			{61 * time.Second, 90 * time.Second},
			{10 * time.Minute, 30 * time.Second},
			{0, 60 * time.Second}, {0, 90 * time.Second}, {0, 120 * time.Second}, {0, 150 * time.Second},
			{0, 180 * time.Second}, {0, 210 * time.Second}, {0, 240 * time.Second}, {0, 270 * time.Second},
			{0, 300 * time.Second}, {0, 300 * time.Second}, {0, 300 * time.Second},
		} {
			time.Sleep(c.healthy)
			give(t, b, all[2], failure, balance.DefaultConsecutive)
			wantState(t, all[2], balance.Ejected)
			time.Sleep(c.out - ms)
			later := awaitRisk(t, b, all[2], time.Minute)
			within(t, fmt.Sprintf("ejection %d: risked", i+1), c.out-ms+later, c.out, c.out*11/10+ms)
			all[2].Done(success)
		}
	})
}

// Volume: gRFC A50's success rate wants 100 calls, its failure percentage 50,
// ours 20 for both. Below that nobody is judged, nor judged by.
func TestRequestVolumeVectors(t *testing.T) {
	for _, c := range []struct {
		calls []int // that each endpoint gets in the interval; the first one's fail
		want  bool
	}{
		{[]int{20, 20, 20}, true},
		{[]int{19, 500, 500}, false},
		{[]int{20, 19, 18}, false}, // there is nobody to compare it with
		{[]int{20, 20, 0}, true},
		{[]int{500, 0, 0}, false},
	} {
		inBubble(t, inTurn(balance.Ejection{}), len(c.calls), func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
			give(t, b, all[0], failure, 1) // the interval begins
			for i, n := range c.calls {
				r := success
				if i == 0 {
					r = failure
				}
				give(t, b, all[i], r, n)
			}
			time.Sleep(10 * time.Second)
			give(t, b, all[2], failure, 1) // it ends, this call included
			if got := all[0].State() == balance.Ejected; got != c.want {
				t.Errorf("%v calls: ejected: %v, want %v", c.calls, got, c.want)
			}
		})
	}
}
