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
		Takes: 10 * time.Second,
		About: `
A server typically answers in 10 ms, but one answer in a hundred takes more than a second. A user's
request makes 1, 10 or 100 calls at once and waits for all of them. above_1s is the part of the
users' requests that took more than a second; quantiles are those of the users' requests, of which
there are 5000.

The rare slow answer of one server is what most users see of a hundred: 1 - 0.99^100 is 63.4 %.
A balancer cannot help, because no server is slower than another, and a retry comes too late. What
helps is a second request to another server before the first has failed, which gabion does not make.`,
		Policies:  []string{p2c, whole},
		Published: publishedTailAtScale(),
		Columns:   []string{"above_1s", "p50_ms", "p90_ms", "p99_ms", "success", "attempts_per_call"},
		Chart:     []string{"above_1s", "p50_ms"},
		Run:       runTailAtScale,
	}
}

func publishedTailAtScale() []bench.Published {
	const paper = `Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013`
	return []bench.Published{
		{Policy: p2c, Variant: "fan-out 1", Figures: "1 % above 1 s", Source: paper},
		{Policy: p2c, Variant: "fan-out 100", Figures: "63 % above 1 s", Source: paper},
	}
}

// The set-up.
const (
	fanServers = 100
	fanEvery   = 5 * time.Second // from one user's request to the next
	fanSlow    = time.Second
)

// fanTimes is how long a server takes.
func fanTimes() dist.Dist {
	const ms = time.Millisecond
	return dist.FromQuantiles(
		dist.Quantile{Q: 0, D: 8 * ms}, dist.Quantile{Q: 0.5, D: 10 * ms}, dist.Quantile{Q: 0.98, D: 15 * ms},
		dist.Quantile{Q: 0.99, D: fanSlow}, dist.Quantile{Q: 1, D: 1200 * ms},
	)
}

// fanBatch is how many users' requests one run makes: looking at each of them
// takes time that grows with the run.
const fanBatch = 100

// fanCase is one row.
type fanCase struct {
	policy  string
	fanOut  int
	batches int
}

func runTailAtScale(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	c := fanCase{batches: 50}
	if r.Quick {
		c.batches = 2
	}
	var cases []fanCase
	for _, c.fanOut = range []int{1, 10, 100} {
		for _, c.policy = range r.Policies {
			cases = append(cases, c)
		}
	}
	return bench.Each(ctx, cases, func(ctx context.Context, c fanCase) (bench.Row, error) {
		var users []fanUser
		for i := range c.batches {
			r.Tell("%s, fan-out %d: batch %d of %d", c.policy, c.fanOut, i+1, c.batches)
			batch, err := c.run(ctx, r.Seed+uint64(i))
			if err != nil {
				return bench.Row{}, fmt.Errorf("tail-at-scale: %s: %w", c.policy, err)
			}
			users = append(users, batch...)
		}
		return c.row(users), nil
	})
}

// fanUser is what one user's request came to.
type fanUser struct {
	took     time.Duration
	ok       bool
	attempts float64 // per call
}

// run makes one batch.
func (c fanCase) run(ctx context.Context, seed uint64) ([]fanUser, error) {
	result, err := sim.Run(ctx, sim.Config{
		Name: c.policy, Seed: seed, For: fanBatch * fanEvery,
		Clients: []sim.Clients{{Name: "front", Policy: client(c.policy, fanEvery)}},
		Servers: []sim.Servers{{Service: "leaf", Count: fanServers, Time: fanTimes()}},
		Load:    []load.Load{{Client: "front", Service: "leaf", Kind: load.Burst, Burst: c.fanOut, Every: fanEvery}},
	})
	if err != nil {
		return nil, err
	}
	users := make([]fanUser, fanBatch)
	for i := range users {
		from := time.Duration(i) * fanEvery
		calls := result.Between(from, from+fanEvery)
		users[i] = fanUser{took: calls.Quantile(1), ok: calls.OK == calls.Calls, attempts: calls.AttemptsPerCall}
	}
	return users, nil
}

func (c fanCase) row(users []fanUser) bench.Row {
	slices.SortFunc(users, func(a, b fanUser) int { return cmp.Compare(a.took, b.took) })
	at := func(q float64) *float64 { return bench.Ms(users[int(q*float64(len(users)-1))].took) }
	var ok, slow, attempts float64
	for _, u := range users {
		if u.ok {
			ok++
		}
		if u.took > fanSlow {
			slow++
		}
		attempts += u.attempts
	}
	n := float64(len(users))
	row := bench.Row{
		Policy: c.policy, Variant: fmt.Sprintf("fan-out %d", c.fanOut),
		Success: new(ok / n), P50: at(0.5), P90: at(0.9), P99: at(0.99), AttemptsPerCall: new(attempts / n),
	}
	row.AddShare("above_1s", slow/n)
	return row
}
