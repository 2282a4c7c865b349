package balance_test

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

var byReports = balance.Policy{Name: balance.WeightedRoundRobin, SlowStart: -1}

// report lets each endpoint say that it serves so many requests per second, half
// utilized; zero says nothing.
func report(b *balance.Balancer, qps ...float64) {
	for i, e := range b.Endpoints() {
		e.Report(balance.Load{RIF: -1, QPS: qps[i], Utilization: 0.5})
	}
}

// wantShares makes calls and compares how they are shared out.
func wantShares(t *testing.T, b *balance.Balancer, want ...float64) {
	t.Helper()
	const total = 6000
	count := calls(t, b, total, success)
	sum := 0.0
	for _, w := range want {
		sum += w
	}
	for i, e := range b.Endpoints() {
		if got, want := float64(count[e])/total, want[i]/sum; math.Abs(got-want) > 0.01 {
			t.Errorf("%s gets %.3f of the calls, want %.3f", e.ID(), got, want)
		}
	}
}

func TestWeightedRoundRobin(t *testing.T) {
	for name, test := range map[string]struct {
		weights []int
		qps     []float64
		want    []float64
	}{
		"follows the reports":        {[]int{0, 0, 0}, []float64{100, 200, 300}, []float64{1, 2, 3}},
		"the mean for the unknown":   {[]int{0, 0, 0}, []float64{300, 0, 100}, []float64{3, 2, 1}},
		"round robin if one reports": {[]int{0, 0, 0}, []float64{100, 0, 0}, []float64{1, 1, 1}},
		"times the weights":          {[]int{2, 1, 1}, []float64{100, 200, 0}, []float64{200, 200, 150}},
		"by weight if one reports":   {[]int{2, 1, 1}, []float64{100, 0, 0}, []float64{2, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBalancer(t, byReports, 0)
				b.Update(weighted(test.weights...))
				report(b, test.qps...)
				time.Sleep(balance.DefaultBlackout)
				wantShares(t, b, test.want...)
			})
		})
	}
}

func TestWeightedRoundRobinInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, byReports, 2)
		report(b, 100, 300)
		time.Sleep(balance.DefaultBlackout - 1)
		wantShares(t, b, 1, 1) // in the blackout
		time.Sleep(balance.DefaultUpdate)
		wantShares(t, b, 1, 3)
		report(b, 300, 100)
		time.Sleep(balance.DefaultUpdate - 1)
		wantShares(t, b, 1, 3) // not yet due
		time.Sleep(time.Nanosecond)
		wantShares(t, b, 3, 1)

		b.Update(instances(3)) // what was learnt stays
		late := b.Endpoints()[2]
		wantShares(t, b, 3, 1, 2)
		b.Update(instances(2))
		if err := b.SetPolicy(balance.Policy{Name: balance.RoundRobin, SlowStart: -1}); err != nil {
			t.Fatal(err)
		}
		wantShares(t, b, 1, 1)
		if err := b.SetPolicy(byReports); err != nil {
			t.Fatal(err)
		}
		wantShares(t, b, 3, 1)
		if n := calls(t, b, 100, success)[late]; n > 0 {
			t.Errorf("%d calls go to one that has left", n)
		}

		time.Sleep(balance.DefaultExpiration)
		wantShares(t, b, 1, 1)
	})
}

// The failures that a server reports cost it calls, by the penalty of the
// policy.
func TestWeightedRoundRobinPenalty(t *testing.T) {
	for penalty, want := range map[float64]float64{0: 0.5, 2: 1.0 / 3, -1: 1} {
		synctest.Test(t, func(t *testing.T) {
			p := byReports
			p.Weighted.ErrorPenalty = penalty
			b := newBalancer(t, p, 2)
			b.Endpoints()[0].Report(balance.Load{QPS: 100, Utilization: 0.5, EPS: 50})
			b.Endpoints()[1].Report(balance.Load{QPS: 100, Utilization: 0.5})
			time.Sleep(balance.DefaultBlackout)
			wantShares(t, b, want, 1)
		})
	}
}

// A new endpoint that is taken to serve the mean starts slowly nevertheless.
func TestWeightedRoundRobinStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Name: balance.WeightedRoundRobin}, 3)
		report(b, 100, 200, 300)
		time.Sleep(balance.DefaultBlackout)
		b.Update(instances(4))
		wantShares(t, b, 1, 2, 3, 0.2)
	})
}

// Picks go on while one of them adapts the shares.
func TestWeightedRoundRobinTogether(t *testing.T) {
	p := byReports
	p.Weighted = balance.Weighted{Blackout: -1, Update: 100 * ms}
	b := newBalancer(t, p, 20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				e := pick(t, b)
				e.Report(balance.Load{QPS: float64(i%7 + 1), Utilization: 0.5})
				e.Done(success)
			}
		})
	}
	wg.Wait()
}
