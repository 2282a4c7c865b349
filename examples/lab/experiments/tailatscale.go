package experiments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// TailAtScale asks many servers at once and waits for the slowest.
func TailAtScale() bench.Experiment {
	return bench.Experiment{
		Name:  "tail-at-scale",
		Title: "a user waits for the slowest of 100 calls",
		Takes: time.Minute,
		About: `
A server typically answers in 10 ms, but one answer in a hundred takes more than a second. A user's
request makes 1, 10 or 100 calls at once and waits for all of them. above_1s is the part of the
users' requests that took more than a second; quantiles are those of the users' requests, of which
there are 5000. In the variant "1 in 1000" slow answers are that rare, and take up to 1.8 s. Before
the first user a client makes 4000 calls, in which it can learn what is usual.

The rare slow answer of one server is what most users see of a hundred: 1 - 0.99^100 is 63.4 %.
A balancer cannot help, because no server is slower than another, and a retry comes too late. What
helps is a second request to another server before the first has failed, which gabion makes where
that is asked for: in the row gabion-hedging, with the defaults of package retry. extra_requests is
what that costs, of all calls of a run; it cannot be more than 2 %.

A second answer is slow as often as the first. Of a hundred calls, each slow one time in a hundred, one
is twice so for one user in a hundred, whatever is done, and p99.9 of fan-out 100 can fall only where
slow answers are rarer. The article has its 74 ms from a system of which that is not said.`,
		Policies:  []string{p2c, whole, hedging},
		Published: publishedTailAtScale(),
		Columns:   []string{"above_1s", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "success", "extra_requests"},
		Chart:     []string{"above_1s", "p50_ms", "p999_ms"},
		Run:       runTailAtScale,
	}
}

func publishedTailAtScale() []bench.Published {
	const paper = `Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013`
	return []bench.Published{
		{Policy: p2c, Variant: "fan-out 1", Figures: "1 % above 1 s", Source: paper},
		{Policy: p2c, Variant: "fan-out 100", Figures: "63 % above 1 s", Source: paper},
		{Policy: p2c, Variant: fanRare, Figures: "p99.9 1800 ms, of 1000 keys on 100 servers", Source: paper},
		{Policy: hedging, Variant: fanRare, Figures: "p99.9 74 ms with 2 % more requests, hedged after 10 ms", Source: paper},
	}
}

// The set-up.
const (
	fanServers = 100
	fanEvery   = 5 * time.Second // from one user's request to the next
	fanSlow    = time.Second
	fanWarm    = 20 * time.Second // before the first user
	fanRare    = "fan-out 100, 1 in 1000"
)

// fanTimes is how long a server takes.
func fanTimes() dist.Dist {
	const ms = time.Millisecond
	return dist.FromQuantiles(
		dist.Quantile{Q: 0, D: 8 * ms}, dist.Quantile{Q: 0.5, D: 10 * ms}, dist.Quantile{Q: 0.989, D: 15 * ms},
		dist.Quantile{Q: 0.99, D: fanSlow}, dist.Quantile{Q: 1, D: 1200 * ms},
	)
}

// fanRareTimes is the same where slow answers are one in a thousand.
func fanRareTimes() dist.Dist {
	const ms = time.Millisecond
	return dist.FromQuantiles(
		dist.Quantile{Q: 0, D: 8 * ms}, dist.Quantile{Q: 0.5, D: 10 * ms}, dist.Quantile{Q: 0.998, D: 15 * ms},
		dist.Quantile{Q: 0.999, D: fanSlow}, dist.Quantile{Q: 1, D: 1800 * ms},
	)
}

// fanBatch is how many users' requests one run makes: looking at each of them
// takes time that grows with the run.
const fanBatch = 100

// fanCase is one row.
type fanCase struct {
	policy  string
	variant string
	fanOut  int
	times   dist.Dist
	batches int
}

func runTailAtScale(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	c := fanCase{batches: 50}
	if r.Quick {
		c.batches = 2
	}
	var cases []fanCase
	add := func(variant string, fanOut int, times dist.Dist) {
		c.variant, c.fanOut, c.times = variant, fanOut, times
		for _, c.policy = range r.Policies {
			cases = append(cases, c)
		}
	}
	add("fan-out 1", 1, fanTimes())
	add("fan-out 10", 10, fanTimes())
	add("fan-out 100", 100, fanTimes())
	add(fanRare, 100, fanRareTimes())
	return bench.Each(ctx, cases, func(ctx context.Context, c fanCase) (bench.Row, error) {
		var users []fanUser
		extra := 0.0
		for i := range c.batches {
			r.Tell("%s, %s: batch %d of %d", c.policy, c.variant, i+1, c.batches)
			batch, more, err := c.run(ctx, r.Seed+uint64(i))
			if err != nil {
				return bench.Row{}, fmt.Errorf("tail-at-scale: %s: %w", c.policy, err)
			}
			users = append(users, batch...)
			extra += more / float64(c.batches)
		}
		return c.row(users, extra), nil
	})
}

// fanUser is what one user's request came to.
type fanUser struct {
	took time.Duration
	ok   bool
}

// run makes one batch. extra is how many requests all its calls needed beyond
// the first, per call.
func (c fanCase) run(ctx context.Context, seed uint64) (users []fanUser, extra float64, err error) {
	result, err := sim.Run(ctx, sim.Config{
		Name: c.policy, Seed: seed, For: fanWarm + fanBatch*fanEvery,
		Clients: []sim.Clients{{Name: "front", Policy: client(c.policy, fanEvery)}},
		Servers: []sim.Servers{{Service: "leaf", Count: fanServers, Time: c.times}},
		Load: []load.Load{
			{Client: "front", Service: "leaf", Kind: load.Constant, Rate: 200, For: fanWarm},
			{Client: "front", Service: "leaf", Kind: load.Burst, Burst: c.fanOut, Every: fanEvery, Start: fanWarm},
		},
	})
	if err != nil {
		return nil, 0, err
	}
	users = make([]fanUser, fanBatch)
	for i := range users {
		from := fanWarm + time.Duration(i)*fanEvery
		calls := result.Between(from, from+fanEvery)
		users[i] = fanUser{took: calls.Quantile(1), ok: calls.OK == calls.Calls}
	}
	return users, result.ExtraRequests, nil
}

func (c fanCase) row(users []fanUser, extra float64) bench.Row {
	slices.SortFunc(users, func(a, b fanUser) int { return cmp.Compare(a.took, b.took) })
	at := func(q float64) *float64 { return bench.Ms(users[int(q*float64(len(users)-1))].took) }
	var ok, slow float64
	for _, u := range users {
		if u.ok {
			ok++
		}
		if u.took > fanSlow {
			slow++
		}
	}
	n := float64(len(users))
	row := bench.Row{
		Policy: c.policy, Variant: c.variant,
		Success: new(ok / n), P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), ExtraRequests: new(extra),
	}
	row.AddShare("above_1s", slow/n)
	return row
}
