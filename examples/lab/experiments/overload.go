package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// Overload asks five times too much of one server.
func Overload() bench.Experiment {
	return bench.Experiment{
		Name:  "overload",
		Title: "a server gets five times what it can do",
		Takes: 2 * time.Minute,
		About: `
Calls come at five times the rate that the server can serve, each in its own time and once, for 40 s
from the first moment on. The server has 8 or 32 workers in front of a line, or 8 cores that all
requests share as goroutines do, and a request takes 10 ms of one, exponentially distributed. A caller
waits for 5 s, and what nobody waits for any more is not worked on.

goodput is the part of what the server can do that was served in time, from the first moment on, and
goodput_late that of the last 30 s. p99_ms is that of the calls that were served, in the last 30 s, and
p99_ratio how many times that of a server with nothing else to do it is. Figures are medians of five
runs, with the seed and the four that follow it; least_goodput and most_ratio are the worst of them.

no-limit takes everything: who is served has waited for nearly all the time there is. fixed-1000 is a
limit that somebody thought generous, without a line in front. gabion is package limit with its
defaults, which must find out by itself what the server can do, and begins at 20.`,
		Policies: []string{"no-limit", "fixed-1000", whole},
		Columns:  []string{"goodput", "least_goodput", "goodput_late", "p99_ms", "p99_ratio", "most_ratio"},
		Chart:    []string{"goodput", "p99_ratio"},
		Run:      runOverload,
	}
}

// The set-up.
const (
	overFactor  = 5.0
	overEach    = 10 * time.Millisecond
	overFor     = 40 * time.Second
	overQuick   = 12 * time.Second
	overTimeout = 5 * time.Second
	overSeeds   = 5
)

// overCase is one row.
type overCase struct {
	policy, variant, kind string
	size                  int
	lasts                 time.Duration
}

func runOverload(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	var cases []overCase
	for _, c := range []overCase{
		{variant: "8 workers", kind: sim.Queue, size: 8},
		{variant: "32 workers", kind: sim.Queue, size: 32},
		{variant: "8 cores", kind: sim.Sharing, size: 8},
	} {
		for _, c.policy = range r.Policies {
			c.lasts = overFor
			if r.Quick {
				c.lasts = overQuick
			}
			cases = append(cases, c)
		}
	}
	seeds := overSeeds
	if r.Quick {
		seeds = 1
	}
	return bench.Each(ctx, cases, func(ctx context.Context, c overCase) (bench.Row, error) {
		var rows []bench.Row
		for i := range seeds {
			r.Tell("%s, %s: run %d of %d", c.policy, c.variant, i+1, seeds)
			row, err := c.row(ctx, r.Seed+uint64(i))
			if err != nil {
				return bench.Row{}, fmt.Errorf("overload: %s: %w", c.policy, err)
			}
			rows = append(rows, row)
		}
		return c.sum(rows), nil
	})
}

// sum returns the medians of the rows, and the worst.
func (c overCase) sum(rows []bench.Row) bench.Row {
	least, most := *rows[0].Goodput, 0.0
	for i := range rows {
		least, most = min(least, *rows[i].Goodput), max(most, rows[i].Extra[1].Value)
	}
	row := middle(rows)
	row.AddShare("least_goodput", least)
	row.Add("most_ratio", most)
	return row
}

// capacity is how many calls the server can serve in a second.
func (c overCase) capacity() float64 { return float64(c.size) / overEach.Seconds() }

func (c overCase) row(ctx context.Context, seed uint64) (bench.Row, error) {
	alone, err := c.run(ctx, seed, 0.05, nil)
	if err != nil {
		return bench.Row{}, err
	}
	result, err := c.run(ctx, seed, overFactor, c.limit())
	if err != nil {
		return bench.Row{}, err
	}
	late := result.Between(c.lasts/4, c.lasts)
	p99 := late.QuantileOK(0.99)
	share := func(ok int, in time.Duration) float64 { return float64(ok) / in.Seconds() / c.capacity() }
	row := bench.Row{
		Policy: c.policy, Variant: c.variant,
		Goodput: new(min(1, share(result.OK, c.lasts))), Success: &result.Success, P99: bench.Ms(p99),
	}
	row.AddShare("goodput_late", share(late.OK, c.lasts-c.lasts/4))
	row.Add("p99_ratio", float64(p99)/float64(alone.QuantileOK(0.99)))
	return row, nil
}

func (c overCase) limit() *limit.Settings {
	switch c.policy {
	case whole:
		return &limit.Settings{}
	case "fixed-1000":
		return &limit.Settings{Initial: 1000, Min: 1000, Max: 1000, Queue: -1}
	}
	return nil
}

// run makes calls at so many times the rate that the server can serve.
func (c overCase) run(ctx context.Context, seed uint64, factor float64, l *limit.Settings) (*sim.Result, error) {
	return sim.Run(ctx, sim.Config{
		Name: c.policy, Seed: seed, For: c.lasts,
		Clients: []sim.Clients{{Name: "client", Policy: bare(p2c, overTimeout)}},
		Servers: []sim.Servers{{
			Service: "server", Kind: c.kind, Workers: c.size, Cores: float64(c.size),
			Time: dist.Exponential(overEach), Limit: l, Cancels: true,
		}},
		Load: []load.Load{{Client: "client", Service: "server", Rate: factor * c.capacity()}},
	})
}
