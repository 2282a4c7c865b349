package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// Metastable stops a busy store for ten seconds and waits whether it comes back.
func Metastable() bench.Experiment {
	return bench.Experiment{
		Name:  "metastable",
		Title: "a store at 93 % of what it can do stands still for 10 s",
		Takes: 30 * time.Second,
		About: `
A store serves 300 requests a second, first come, first served, with exponential service times and
a line without bound; 280 calls a second arrive. An attempt is given up after 1 s, but the store
works on it all the same. From 60 s to 70 s the store all but stops (it takes 30 times as long);
the run ends at 600 s. recovery_s is how long after 70 s it took until 90 % of the calls of each
second went well for half a minute. goodput is the part of the calls that went well, after the calls of 70 s
to 190 s; goodput_late is that of 470 s to 590 s, store_per_s how many requests the store got in
each second of it. The other columns are of the whole run. Figures are medians of five runs, with the seed and the four that follow it.

one-retry and three-retries repeat at once, without a budget or a breaker; success-budget has three
retries with gabion's backoff and its budget, which successes fund, and no breaker. gabion is the
whole client with its defaults and attempts of 1 s; gabion-shedding has gabion's adaptive limit in
front of the store besides.

The paper's claim holds: with retries that nothing bounds the store never comes back, although what
stopped it is long over. The time without retries is that of the line: 2800 calls wait at 70 s, and
20 more a second are served than arrive. A budget that successes fund is empty at once when they
end, and adds next to nothing to that. The breaker opens during the stop, so that most of the line
never forms; what is left of the recovery time is its open period and its ramp.

With the adaptive limit the breaker does not open at all: a store that refuses what is too much for
it, and does the rest, does all it can, be it little. At 93 % the limit has a price: it keeps the line
short, lets the newest go first when it has been standing for half a second, and so refuses one call
in a hundred at all times.`,
		Policies:  []string{"one-retry", "three-retries", "no-retries", "success-budget", whole, "gabion-shedding"},
		Published: publishedMetastable(),
		Columns:   []string{"recovery_s", "goodput", "goodput_late", "store_per_s", "attempts_per_call", "p50_ms", "p99_ms"},
		Chart:     []string{"recovery_s", "goodput", "goodput_late", "store_per_s"},
		Run:       runMetastable,
	}
}

func publishedMetastable() []bench.Published {
	const hotos = `Bronson, Aghayev, Charapko and Zhu, "Metastable Failures in Distributed Systems", HotOS 2021, section 2.1`
	const ours = "our own first simulation of this, in another language, 5 seeds"
	return []bench.Published{
		{Policy: "one-retry", Figures: "settles at 560 requests a second, no useful work until load is cut", Source: hotos},
		{Policy: "one-retry", Figures: "never; goodput 0.2 %, late 0 %; 560 a second", Source: ours},
		{Policy: "three-retries", Figures: "never; goodput 0.2 %, late 0 %; 1121 a second", Source: ours},
		{Policy: "no-retries", Figures: "119 s; goodput 5.9 %, late 100 %; 281 a second", Source: ours},
		{Policy: "success-budget", Figures: "125 s; goodput 4.3 %, late 99.9 %; 280 a second", Source: ours},
		{Policy: whole, Figures: "a breaker alone (50 % of 20, 5 s): 2 s; goodput 98 %, late 100 %; 280 a second", Source: ours},
		{Policy: "gabion-shedding", Figures: "a line of 100 alone: 0 s; goodput 100 %, late 100 %; 280 a second", Source: ours},
		{Policy: "retries for 10 % of requests", Figures: "never; goodput 0.3 %, late 0 %; 308 a second", Source: ours},
	}
}

// The set-up.
const (
	metaRate     = 280.0
	metaCapacity = 300
	metaTimeout  = time.Second
	metaFrom     = 60 * time.Second
	metaUntil    = 70 * time.Second
	metaFor      = 600 * time.Second
	metaQuick    = 400 * time.Second
	metaSeeds    = 5
	metaFactor   = 30 // on service times, while the store stands still
)

// metaPolicy returns the client, and the limit in front of the store if there is
// one.
func metaPolicy(policy string) (transport.Policy, *limit.Settings) {
	switch policy {
	case "one-retry":
		return unbounded(1), nil
	case "three-retries":
		return unbounded(3), nil
	case "no-retries":
		return unbounded(0), nil
	case "success-budget":
		p := unbounded(3)
		p.Retry = retry.Policy{Attempts: 4}
		return p, nil
	case "gabion-shedding":
		return transport.Policy{AttemptTimeout: metaTimeout}, &limit.Settings{}
	}
	return transport.Policy{AttemptTimeout: metaTimeout}, nil
}

// unbounded is a client that repeats a failed attempt at once, up to so many
// times, whatever happens.
func unbounded(retries int) transport.Policy {
	p := bare(balance.Random, time.Duration(retries+1)*(metaTimeout+10*time.Millisecond))
	p.AttemptTimeout = metaTimeout
	p.Retry = retry.Policy{
		Attempts: retries + 1, Base: 1, Cap: 1,
		Budget: retry.BudgetPolicy{Cap: 10_000, Refill: 10_000, Window: time.Hour},
	}
	return p
}

// metaRecovery returns how many seconds after the stop the calls were well again
// for half a minute, -1 if they never were.
func metaRecovery(r *report.Report) float64 {
	const share, hold = 0.9, 30
	first := int(metaUntil.Seconds())
	well := 0
	for i, s := range r.PerSecond {
		if i < first {
			continue
		}
		if well++; float64(s.OK) < share*float64(s.Offered) {
			well = 0
		}
		if well == hold {
			return float64(i + 1 - hold - first)
		}
	}
	return -1
}

func runMetastable(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	seeds := metaSeeds
	if r.Quick {
		seeds = 1
	}
	end := metaFor
	if r.Quick {
		end = metaQuick
	}
	return bench.Each(ctx, r.Policies, func(ctx context.Context, policy string) (bench.Row, error) {
		var rows []bench.Row
		for i := range seeds {
			r.Tell("%s: run %d of %d", policy, i+1, seeds)
			row, err := metaRun(ctx, policy, r.Seed+uint64(i), end)
			if err != nil {
				return bench.Row{}, err
			}
			rows = append(rows, row)
		}
		return middle(rows), nil
	})
}

func metaRun(ctx context.Context, policy string, seed uint64, end time.Duration) (bench.Row, error) {
	p, shed := metaPolicy(policy)
	result, err := sim.Run(ctx, sim.Config{
		Name: policy, Seed: seed, For: end,
		Clients: []sim.Clients{{Name: "client", Policy: p}},
		Servers: []sim.Servers{{Service: "store", Kind: sim.Queue, Time: dist.Exponential(time.Second / metaCapacity), Limit: shed}},
		Load:    []load.Load{{Client: "client", Service: "store", Rate: metaRate}},
		Changes: []sim.Change{{Kind: sim.Slow, Service: "store", At: metaFrom, For: metaUntil - metaFrom, Factor: metaFactor}},
	})
	if err != nil {
		return bench.Row{}, fmt.Errorf("metastable: %s: %w", policy, err)
	}
	const slice = 120 * time.Second
	after := result.Between(metaUntil, metaUntil+slice)
	late := result.Between(end-10*time.Second-slice, end-10*time.Second)
	row := bench.FromReport(policy, result.Report)
	row.RecoveryS = new(metaRecovery(result.Report))
	row.Goodput = &after.Goodput
	row.AddShare("goodput_late", late.Goodput)
	attempts := 0
	for _, s := range late.ByReplica {
		attempts += s.Attempts
	}
	row.Add("store_per_s", float64(attempts)/slice.Seconds())
	return row, nil
}
