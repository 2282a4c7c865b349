package balance_test

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// For every 45th call the two drawn are the bad ones. It goes elsewhere.
func TestTwoBadOnes(t *testing.T) {
	ewma(t, 10, func(t *testing.T, b *balance.Balancer) {
		all := b.Endpoints()
		well := exponential(2 * ms)
		bad := well.except(all[9], exponential(40*ms)).except(all[8], fails(balance.Failure, ms))
		openLoop(t, b, 500, time.Second, bad)
		got := openLoop(t, b, 500, 20*time.Second, bad)
		if share := got.share(all[9]); share > 0.003 {
			t.Errorf("the slow one got %.2f %% of the calls, want 0.3 %% at most", 100*share)
		}
		if share := got.share(all[8]); share > 0.003 {
			t.Errorf("the failing one got %.2f %% of the calls, want 0.3 %% at most", 100*share)
		}
	})
}

// However many calls the others have, there is no point in waiting ten times as
// long: only when dozens wait elsewhere the slow one is worth a try.
func TestSlowIsNotWorthIt(t *testing.T) {
	ewma(t, 10, func(t *testing.T, b *balance.Balancer) {
		all := b.Endpoints()
		s := alike(200*ms).except(all[0], alike(2*time.Second))
		openLoop(t, b, 500, 5*time.Second, s)
		if n := openLoop(t, b, 500, 20*time.Second, s)[all[0]]; n > 20 {
			t.Errorf("in 20 s %d of 10000 calls went to an endpoint that takes ten times as long, want a few", n)
		}
	})
}

// What servers report counts more than the client's own calls, for as long as
// it is fresh.
func TestReportsCount(t *testing.T) {
	ewma(t, 4, func(t *testing.T, b *balance.Balancer) {
		s := alike(10 * ms)
		openLoop(t, b, 100, time.Second, s)
		report := func() {
			for i, e := range b.Endpoints() {
				rif := 8
				if i == 0 {
					rif = 2
				}
				e.Report(balance.Load{RIF: rif})
			}
		}
		got := 0
		for range 20 {
			report()
			got += openLoop(t, b, 100, 20*ms, s)[b.Endpoints()[0]]
		}
		if got < 35 {
			t.Errorf("the one with the fewest requests got %d of 40 calls", got)
		}
		time.Sleep(3 * time.Second)
		if got := openLoop(t, b, 100, time.Second, s)[b.Endpoints()[0]]; got > 50 {
			t.Errorf("3 s after the last report it got %d of 100 calls, want about 25", got)
		}
	})
}

// Of many endpoints, those that said just now that they have little to do are
// found, which two draws would not.
func TestLastToReportIsFound(t *testing.T) {
	ewma(t, 200, func(t *testing.T, b *balance.Balancer) {
		for _, e := range b.Endpoints() {
			hit(t, b, e).Done(success)
			e.Report(balance.Load{RIF: 20})
			time.Sleep(ms)
		}
		idle := b.Endpoints()[7]
		e := hit(t, b, idle)
		e.Report(balance.Load{RIF: 3})
		e.Done(success)
		got := 0
		for range 10 {
			if pick(t, b) == idle {
				got++
			}
		}
		if got < 9 {
			t.Errorf("%d of 10 calls went to the endpoint that has little to do", got)
		}
	})
}
