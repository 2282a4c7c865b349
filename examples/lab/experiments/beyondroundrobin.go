package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

const linkerd2016 = `Jenson and Oanta, "Beyond Round Robin: Load Balancing for Latency", linkerd.io, 2016; figures read off its chart`

// BeyondRoundRobin makes one of eleven servers slow for half of a minute.
func BeyondRoundRobin() bench.Experiment {
	return bench.Experiment{
		Name:  "beyond-round-robin",
		Title: "one of 11 servers is slow for 30 s of a minute",
		Takes: 20 * time.Second,
		About: `
Eleven servers, one client, a request every millisecond for 60 s. Servers do not queue: a request
takes as long as it takes, 164 to 200 ms by the quantiles of the samples that came with the
published simulator, straight lines between them. From 15 s to 45 s one server is slow: it takes 2 s
on average, as the article says (variant 2s), or ten times as long, as its simulator does (10x).
Success is an answer within 1 s. to_slow counts the requests that were sent to the slow server
meanwhile. Figures are medians of ten runs, with the seed and the nine that follow it.

The rows of balancers are balancers alone, without retries, breaker or ejection, as published.
gabion is the whole client with its defaults, that is, p2c-peak-ewma with retries, breaker and
ejection. Its attempts end after 2 s and are repeated elsewhere; in variant 10x none takes that long.
gabion-hedging sends a call a second time, to another server, when it has taken 210 ms, which no
server takes that is well. It may do so for one in twenty, because all calls to the slow one come at once.

Round robin agrees exactly, the others within the spread of the seeds. The article's least loaded
balancer is at 99 % in its chart, which cannot be read more finely. In variant 2s service times keep
the shape of the samples around their mean of 2 s.`,
		Policies:  []string{roundRobin, random, p2c, peakEWMA, whole, hedging},
		Published: publishedBeyondRoundRobin(),
		Columns:   []string{"success", "p50_ms", "p99_ms", "p999_ms", "p9999_ms", "extra_requests", "to_slow"},
		Chart:     []string{"success", "p99_ms", "to_slow"},
		Run:       runBeyondRoundRobin,
	}
}

func publishedBeyondRoundRobin() []bench.Published {
	const ours = "our own first simulation of this, in another language, 10 seeds"
	return []bench.Published{
		{Policy: roundRobin, Variant: "10x", Figures: "95 %; p95 about 205, p97 1675, p99.9 1860 ms", Source: linkerd2016},
		{Policy: roundRobin, Variant: "10x", Figures: "95.45 %, 2728 to the slow server", Source: ours},
		{Policy: roundRobin, Variant: "2s", Figures: "95.45 %, 2728 to the slow server", Source: ours},
		{Policy: p2c, Variant: "10x", Figures: "least loaded: 99 %; p99 about 205, p99.9 1725 ms", Source: linkerd2016},
		{Policy: p2c, Variant: "10x", Figures: "99.41 %, up to 351 to the slow server", Source: ours},
		{Policy: p2c, Variant: "2s", Figures: "99.49 %, from 270 to the slow server", Source: ours},
		{Policy: peakEWMA, Variant: "10x", Figures: "99.9 %; p99.9 about 210, p99.99 1780 ms", Source: linkerd2016},
		{Policy: peakEWMA, Variant: "10x", Figures: "99.91 %, 55 to the slow server; with the age of what is open 99.92 %, 50", Source: ours},
		{Policy: hedging, Variant: "10x", Figures: "p2c-peak-ewma with a hedge at 210 ms: 100 %, p99.99 387 ms, 0.08 % extra requests", Source: ours},
		{Policy: peakEWMA, Variant: "2s", Figures: "99.92 %, 47 to the slow server; with the age of what is open 99.93 %, 42", Source: ours},
	}
}

// The set-up.
const (
	brrServers = 11
	brrService = "web"
	brrSlow    = brrService + "-0"
	brrFrom    = 15 * time.Second
	brrUntil   = 45 * time.Second
	brrFor     = 60 * time.Second
	brrLimit   = time.Second // of a success
	brrSeeds   = 10
)

// brrTimes is how long requests take.
func brrTimes() dist.Dist {
	const us = time.Microsecond
	return dist.FromQuantiles(
		dist.Quantile{Q: 0, D: 164_100 * us}, dist.Quantile{Q: 0.5, D: 167_500 * us},
		dist.Quantile{Q: 0.9, D: 176_700 * us}, dist.Quantile{Q: 0.95, D: 181_700 * us},
		dist.Quantile{Q: 0.99, D: 192_300 * us}, dist.Quantile{Q: 0.999, D: 198_800 * us},
		dist.Quantile{Q: 1, D: 200_000 * us},
	)
}

// brrCase is one row of the experiment.
type brrCase struct {
	policy, variant string
	factor          float64
}

func runBeyondRoundRobin(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	seeds := brrSeeds
	if r.Quick {
		seeds = 1
	}
	var cases []brrCase
	for _, p := range r.Policies {
		cases = append(cases, brrCase{p, "2s", float64(2*time.Second) / float64(brrTimes().MeanOf())}, brrCase{p, "10x", 10})
	}
	return bench.Each(ctx, cases, func(ctx context.Context, c brrCase) (bench.Row, error) {
		var rows []bench.Row
		for i := range seeds {
			r.Tell("%s, %s: run %d of %d", c.policy, c.variant, i+1, seeds)
			row, err := c.run(ctx, r.Seed+uint64(i))
			if err != nil {
				return bench.Row{}, err
			}
			rows = append(rows, row)
		}
		return middle(rows), nil
	})
}

// client returns the policy of the case. A hedge is late at 210 ms, as in our
// first simulation.
func (c brrCase) client() transport.Policy {
	p := client(c.policy, 5*time.Second)
	if p.Hedge.On {
		p.Hedge.MinDelay, p.Hedge.Share = 210*time.Millisecond, 0.05
	}
	return p
}

func (c brrCase) run(ctx context.Context, seed uint64) (bench.Row, error) {
	result, err := sim.Run(ctx, sim.Config{
		Name: c.policy, Seed: seed, For: brrFor,
		Clients: []sim.Clients{{Name: "client", Policy: c.client()}},
		Servers: []sim.Servers{{Service: brrService, Count: brrServers, Time: brrTimes(), Silent: c.policy != whole && c.policy != hedging}},
		Load:    []load.Load{{Client: "client", Service: brrService, Kind: load.Constant, Rate: 1000}},
		Changes: []sim.Change{{Kind: sim.Slow, Service: brrService, Count: 1, At: brrFrom, For: brrUntil - brrFrom, Factor: c.factor}},
	})
	if err != nil {
		return bench.Row{}, fmt.Errorf("beyond-round-robin: %s: %w", c.policy, err)
	}
	row := bench.FromReport(c.policy, result.Report)
	row.Variant = c.variant
	row.Success = new(within(result.Report, brrLimit))
	row.Goodput = row.Success
	for _, s := range result.Between(brrFrom, brrUntil).ByReplica {
		if s.Replica == brrSlow {
			row.Add("to_slow", float64(s.Attempts))
		}
	}
	return row, nil
}
