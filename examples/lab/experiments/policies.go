package experiments

import (
	"math"
	"strings"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// The policies that most experiments compare.
const (
	roundRobin = balance.RoundRobin
	random     = balance.Random
	p2c        = balance.P2C
	peakEWMA   = balance.PeakEWMA
	whole      = "gabion" // the library's defaults, all of them
	hedging    = "gabion-hedging"
	// reporting is peakEWMA with servers that report their load, which those
	// of the other rows of balancers do not.
	reporting = peakEWMA + "-reports"
)

// client returns the policy of that name: one balancer and nothing else, or
// the whole client with its defaults, with hedging if that is asked for. timeout
// bounds a call of any.
func client(policy string, timeout time.Duration) transport.Policy {
	switch policy {
	case whole:
		return transport.Policy{Timeout: timeout}
	case hedging:
		return transport.Policy{Timeout: timeout, Hedge: retry.Hedge{On: true}}
	}
	return bare(strings.TrimSuffix(policy, "-reports"), timeout)
}

// bare is a client that only balances: one attempt, no breaker, no ejection, no
// slow start, no subset and no bulkhead.
func bare(balancer string, timeout time.Duration) transport.Policy {
	return transport.Policy{
		Timeout: timeout, AttemptTimeout: timeout,
		Retry:   retry.Policy{Attempts: 1},
		Breaker: neverOpen(),
		Balance: balance.Policy{Name: balancer, SlowStart: -1,
			Ejection: balance.Ejection{Disabled: true}, Subset: balance.Subset{Disabled: true}},
		Limit: limit.Policy{MaxInflight: math.MaxInt32},
	}
}

// neverOpen is a breaker that lets everything through.
func neverOpen() breaker.Settings {
	return breaker.Settings{Consecutive: -1, MinCalls: math.MaxInt32}
}
