package balance_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/balance"
)

// A service says how a call to an endpoint ends and how long it takes.
type service func(e *balance.Endpoint) balance.Result

// alike answers every call after d.
func alike(d time.Duration) service {
	return func(*balance.Endpoint) balance.Result { return balance.Result{Latency: d} }
}

// exponential answers after a time that is exponentially distributed.
func exponential(mean time.Duration) service {
	r := rand.New(random.New(7))
	return func(*balance.Endpoint) balance.Result {
		return balance.Result{Latency: time.Duration(r.ExpFloat64() * float64(mean))}
	}
}

// except answers like s, but where e is called like other.
func (s service) except(e *balance.Endpoint, other service) service {
	return func(called *balance.Endpoint) balance.Result {
		if called == e {
			return other(e)
		}
		return s(called)
	}
}

// fails ends every call after d in that way.
func fails(o balance.Outcome, d time.Duration) service {
	return func(*balance.Endpoint) balance.Result { return balance.Result{Outcome: o, Latency: d} }
}

// traffic counts calls by endpoint.
type traffic map[*balance.Endpoint]int

// openLoop makes rate calls a second for d, whatever becomes of them, and
// returns whom they went to.
func openLoop(t *testing.T, b *balance.Balancer, rate int, d time.Duration, s service) traffic {
	t.Helper()
	var wg sync.WaitGroup
	count := traffic{}
	for range int(d.Seconds() * float64(rate)) {
		e := pick(t, b)
		count[e]++
		wg.Add(1)
		r := s(e)
		time.AfterFunc(r.Latency, func() {
			defer wg.Done()
			e.Done(r)
		})
		time.Sleep(time.Second / time.Duration(rate))
	}
	t.Cleanup(wg.Wait)
	return count
}

// share returns which part of the calls went to any of those.
func (c traffic) share(those ...*balance.Endpoint) float64 {
	all, part := 0, 0
	for _, n := range c {
		all += n
	}
	for _, e := range those {
		part += c[e]
	}
	return float64(part) / float64(all)
}

// failTogether ends calls to all endpoints that began at the same time: those to
// the sick fail, enough of them to eject.
func failTogether(t *testing.T, b *balance.Balancer, sick []*balance.Endpoint) {
	t.Helper()
	var flying []*balance.Endpoint
	for range 20 * len(b.Endpoints()) {
		flying = append(flying, pick(t, b))
	}
	for _, e := range flying {
		if slices.Contains(sick, e) {
			e.Done(failure)
		} else {
			e.Done(success)
		}
	}
}
