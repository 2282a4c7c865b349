package experiments

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// Prequal lets noisy neighbours take away the cores of some servers while the
// load goes up in steps.
func Prequal() bench.Experiment {
	return bench.Experiment{
		Name:  "prequal",
		Title: "100 servers with noisy neighbours, load from 0.75 to 1.74",
		Takes: 3 * time.Minute,
		About: `
A hundred clients call a hundred servers that share their cores among all requests they have. Each
server is allotted 2 or 8 cores (variants A=2, A=8) and may burst to twice that, but 15 % of them at
any time, drawn anew every 5 s on average, have neighbours that leave them 0.8 of their allotment.
A query is work for 80 ms on average on one core, and no more than one: a normal distribution whose
standard deviation is its mean, without the negative part. The deadline is 5 s, after which servers
stop working on it. Load is a part of what is allotted; 1.82 would be all there is. After 15 s, in
which nothing is counted, a step is measured for 30 s (A=2) or 18 s (A=8).

The rows of balancers are balancers alone; what they know is what their own client has met. gabion
is the whole client: attempts end after 2 s and may be repeated elsewhere, and servers that time out
are ejected.

The order is the published one: round robin is worst, counting requests helps, knowing latencies
helps more. The milliseconds are not to be compared with the paper's, whose machines, queries and
neighbours are not public in detail; the second source has this set-up. p99 of round robin agrees
with it within 3 % and its errors within a fifth. p99 of p2c-peak-ewma is 5 % to half shorter: that
source's does not mind for how long nobody has been answered, nor leave alone what is far slower than
usual. Its least loaded balancer looks at all servers, p2c-least-request at two: at 0.9 p99 differs
by 5 % at most, at 1.27 it is 14 % (A=2) and 31 % (A=8) longer.

A hundred clients see little of what the others have sent: with A=2 a client has 2 or 3 requests
under way. Servers do see it. In the rows p2c-peak-ewma-reports, prequal and gabion every answer
tells how many requests its server has; prequal also asks out of band, the others do not. gabion
uses 20 of the servers from each client, of which it knows more.`,
		Policies:  []string{roundRobin, random, p2c, peakEWMA, reporting, balance.Prequal, whole},
		Published: publishedPrequal(),
		Columns:   []string{"success", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "attempts_per_call"},
		Chart:     []string{"success", "p90_ms", "p99_ms"},
		Run:       runPrequal,
	}
}

func publishedPrequal() []bench.Published {
	const paper = `Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance: Introducing Prequal", NSDI 2024; its table of policies at 70 % and 90 % load, and its load ramp`
	const ours = "our own first simulation of this, in another language, one seed"
	var list []bench.Published
	add := func(policy, variant string, load float64, source, figures string) {
		list = append(list, bench.Published{Policy: policy, Variant: variant, Load: load, Figures: figures, Source: source})
	}
	add(roundRobin, "A=2", 0.75, paper, "p90 4984, p99 above 5000 ms at 70 %")
	add(roundRobin, "A=2", 0.9, paper, "p90 and p99 above 5000 ms")
	add(p2c, "A=2", 0.75, paper, "least loaded by own counts: p90 343, p99 1804 ms at 70 %")
	add(p2c, "A=2", 0.9, paper, "least loaded by own counts: p90 940, p99 2654 ms")
	add("prequal", "", 0.9, paper, "p90 152, p99 286 ms")
	add(roundRobin, "A=2", 0.9, ours, "p99 3312 ms, 0.27 % errors")
	add(roundRobin, "A=2", 1.27, ours, "p99 above 5000 ms, 3.6 % errors")
	add(roundRobin, "A=8", 0.9, ours, "p99 3200 ms, 0.13 % errors")
	add(roundRobin, "A=8", 1.27, ours, "p99 above 5000 ms, 3.2 % errors")
	add(p2c, "A=2", 0.9, ours, "least of all by own counts: p99 1712 ms, no errors")
	add(p2c, "A=2", 1.27, ours, "least of all by own counts: p99 3017 ms, 0.11 % errors")
	add(p2c, "A=8", 0.9, ours, "least of all by own counts: p99 581 ms, no errors")
	add(p2c, "A=8", 1.27, ours, "least of all by own counts: p99 1024 ms, no errors")
	add(peakEWMA, "A=2", 0.9, ours, "p99 1000 ms, no errors")
	add(peakEWMA, "A=2", 1.27, ours, "p99 3366 ms, 0.26 % errors")
	add(peakEWMA, "A=8", 0.9, ours, "p99 272 ms, no errors")
	add(peakEWMA, "A=8", 1.27, ours, "p99 480 ms, no errors")
	add("weighted round robin", "", 1.74, paper, "more than 25 % fail")
	add("prequal", "", 1.74, paper, "p99.9 about 600 ms, none fail")
	add("prequal", "A=2", 1.27, ours, "p99 512 ms, no errors")
	add("prequal", "A=8", 1.27, ours, "p99 418 ms, no errors")
	return list
}

// The set-up.
const (
	preClients  = 100
	preServers  = 100
	preService  = "leaf"
	preWork     = 80 * time.Millisecond
	preDeadline = 5 * time.Second
	preWarm     = 15 * time.Second
	preNoisy    = 0.15 // part of the servers that neighbours hold up
	preRedraw   = 5 * time.Second
)

// preLoads are the steps of the paper, and 0.9.
func preLoads(quick bool) []float64 {
	if quick {
		return []float64{0.9, 1.27}
	}
	return []float64{0.75, 0.83, 0.9, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74}
}

// preCase is one row.
type preCase struct {
	policy   string
	cores    float64
	load     float64
	warm     time.Duration
	measured time.Duration
}

func preCases(r bench.Run) []preCase {
	var cases []preCase
	for _, cores := range []float64{2, 8} {
		c := preCase{cores: cores, warm: preWarm, measured: 30 * time.Second}
		switch {
		case r.Quick && cores == 8:
			continue
		case r.Quick:
			c.warm, c.measured = 5*time.Second, 6*time.Second
		case cores == 8:
			c.measured = 18 * time.Second
		}
		for _, c.load = range preLoads(r.Quick) {
			for _, c.policy = range r.Policies {
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func runPrequal(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	return bench.Each(ctx, preCases(r), func(ctx context.Context, c preCase) (bench.Row, error) {
		return c.run(ctx, r)
	})
}

func (c preCase) run(ctx context.Context, r bench.Run) (bench.Row, error) {
	variant := fmt.Sprintf("A=%.0f", c.cores)
	work := preDist()
	rate := c.load * c.cores * preServers / work.MeanOf().Seconds()
	result, err := sim.Run(ctx, sim.Config{
		Name: c.policy, Seed: r.Seed, For: c.warm + c.measured,
		Clients: []sim.Clients{{Name: "client", Count: preClients, Policy: client(c.policy, preDeadline)}},
		Servers: []sim.Servers{{
			Service: preService, Count: preServers, Kind: sim.Sharing, Time: work,
			Cores: 0.8 * c.cores, Burst: 2 * c.cores, Cancels: true,
			Silent: !slices.Contains([]string{reporting, balance.Prequal, whole}, c.policy),
			// A server that is drawn anew keeps its neighbours with the
			// probability with which it got them.
			Busy: dist.Exponential(scaled(preRedraw, 1/(1-preNoisy))), Idle: dist.Exponential(scaled(preRedraw, 1/preNoisy)),
		}},
		Load: []load.Load{{Client: "client", Service: preService, Rate: rate}},
	}, sim.WithProgress(func(at time.Duration, calls int) {
		r.Tell("%s, %s, load %.2f: %.0f of %.0f s, %d calls", c.policy, variant, c.load, at.Seconds(), (c.warm + c.measured).Seconds(), calls)
	}))
	if err != nil {
		return bench.Row{}, fmt.Errorf("prequal: %s: %w", c.policy, err)
	}
	row := bench.FromReport(c.policy, result.Between(c.warm, c.warm+c.measured))
	row.Variant, row.Load = variant, c.load
	return row, nil
}

// preDist is the work of a query: a normal distribution with its mean as
// standard deviation, such that what is not negative has the mean preWork.
func preDist() dist.Dist {
	unit := dist.Normal(time.Second, time.Second).MeanOf()
	mean := time.Duration(float64(preWork) * float64(time.Second) / float64(unit))
	return dist.Normal(mean, mean)
}

func scaled(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}
