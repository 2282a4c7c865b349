package balance_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// decisions returns who gets each of 1000 calls, where some instances fail,
// refuse and ask for rest, one weighs more, and two come later.
func decisions(t *testing.T, policy string, opts ...balance.Option) []string {
	t.Helper()
	var got []string
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, balance.Policy{Name: policy}, 0, opts...)
		b.Update(weighted(1, 1, 1, 1, 1, 1, 1, 3))
		for i := range 1000 {
			if i == 500 {
				b.Update(weighted(1, 1, 1, 1, 1, 1, 1, 3, 1, 1))
			}
			e := pick(t, b)
			got = append(got, e.ID())
			e.Done(behaviour(e.ID(), i))
			time.Sleep(50 * ms)
		}
	})
	return got
}

func behaviour(id string, call int) balance.Result {
	switch {
	case id == "i00000" && call < 600:
		return failure
	case id == "i00001" && call > 200 && call < 400:
		return refused
	case id == "i00002" && call%3 == 0:
		return balance.Result{Outcome: balance.Overload, Rest: time.Second}
	}
	return success
}

func TestSameSeedSameDecisions(t *testing.T) {
	for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Random} {
		t.Run(policy, func(t *testing.T) {
			one := decisions(t, policy, balance.WithRand(random.New(1)))
			if again := decisions(t, policy, balance.WithRand(random.New(1))); !slices.Equal(one, again) {
				t.Error("the same seed gave other decisions")
			}
			if two := decisions(t, policy, balance.WithRand(random.New(2))); slices.Equal(one, two) {
				t.Error("another seed gave the same decisions")
			}
		})
	}
	if slices.Equal(decisions(t, balance.P2C), decisions(t, balance.P2C, balance.WithRand(nil))) {
		t.Error("without a source decisions repeat")
	}
}
