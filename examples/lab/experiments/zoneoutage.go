package experiments

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// zones of the experiment; the last one dies.
var zones = []string{"a", "b", "c"}

// zonePatience is how long a client waits for an answer.
const zonePatience = 5 * time.Second

// How a zone dies.
const (
	zoneCrashes = "crash"
	zoneIsCut   = "partition"
)

// ZoneOutage takes one of three zones away and gives it back.
func ZoneOutage() bench.Experiment {
	return bench.Experiment{
		Name:  "zone-outage",
		Title: "one of three zones dies for 30 s",
		About: `
A service has five replicas in each of three zones, work of 20 ms on average, exponentially
distributed. A client in each zone calls all replicas alike, 100 times a second with 5 s of
patience. After 10 s a whole zone dies for 30 s, its client included: either its processes are
killed, so that connections are reset and then refused, or it is cut off, so that nothing answers.
The registry drops an instance that it has not heard of for 10 s. Everything is real servers and
clients, in virtual time.

Success, quantiles and attempts_per_call are those of all calls that began during the outage,
failed the part of them that failed; recovery_s is how long after the beginning of the outage it
took until, for good, 99.9 % of the calls of each second went well. A zone that comes back
must not do harm either, so the time after it counts for recovery_s, too.

round-robin and the two p2c are gabion's client with a balancer alone: no retries, breaker or
ejection. It leaves out for a while, as in all rows, what could not be connected to twice in a row.
To notice that a connection cannot be made takes a second when nothing answers, and a request on an
open connection waits for as long as it may. gabion gives an attempt 2 s and then tries another
instance, as far as its budget goes: it pays for five retries after timeouts at once, and for more as
other calls succeed. The few calls that fail are those it could not pay for; that holds the load down
if not one zone but everything hangs.`,
		Takes:    20 * time.Second,
		Policies: []string{roundRobin, p2c, balance.PeakEWMA, whole},
		Columns:  []string{"success", "failed", "p50_ms", "p99_ms", "p999_ms", "attempts_per_call", "recovery_s"},
		Chart:    []string{"failed", "p99_ms", "recovery_s"},
		Run:      runZoneOutage,
	}
}

// zoneRun is one run in which a zone dies.
type zoneRun struct {
	policy, how          string
	seed                 uint64
	rate                 float64 // of each client
	begin, outage, after time.Duration
}

func runZoneOutage(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	var all []zoneRun
	for _, policy := range r.Policies {
		for _, how := range []string{zoneCrashes, zoneIsCut} {
			one := zoneRun{policy, how, r.Seed, 100, 10 * time.Second, 30 * time.Second, 30 * time.Second}
			if r.Quick {
				one.rate, one.begin, one.outage, one.after = 50, 2*time.Second, 6*time.Second, 4*time.Second
			}
			all = append(all, one)
		}
	}
	return bench.Each(ctx, all, func(ctx context.Context, one zoneRun) (bench.Row, error) {
		r.Tell("%s, %s", one.policy, one.how)
		return one.run(ctx)
	})
}

func (z *zoneRun) run(ctx context.Context) (bench.Row, error) {
	var row bench.Row
	err := onNetwork("zone-outage", z.seed, func(n *transporttest.Network) { row = z.row(z.runOn(ctx, n)) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return row, err
}

func (z *zoneRun) runOn(ctx context.Context, n *transporttest.Network) *report.Report {
	s := n.Serve("stock", 5*len(zones),
		func(*transporttest.Process) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12 left") })
		},
		transporttest.WithZones(zones...),
	)
	n.Fault(transporttest.Fault{Kind: transporttest.Slow, On: "stock", Latency: dist.Exponential(20 * time.Millisecond)})
	for i, h := range s.Hosts() {
		if i%len(zones) == len(zones)-1 {
			n.Fault(z.death(h.Name()))
		}
	}
	return n.RunVia(stopping(ctx, z.client), z.loads()...)
}

// death is what happens to one host of the zone.
func (z *zoneRun) death(host string) transporttest.Fault {
	f := transporttest.Fault{Kind: transporttest.Crash, On: host, At: z.begin, For: z.outage}
	if z.how == zoneIsCut {
		f.Kind, f.On, f.From = transporttest.Partition, "", host
	}
	return f
}

func (z *zoneRun) client(p *transporttest.Process) http.RoundTripper {
	policy := client(z.policy, zonePatience)
	return p.Client(transport.WithPolicy(policy)).Transport
}

// loads are the clients of all zones; that of the dead one is silent with it.
func (z *zoneRun) loads() []load.Load {
	var loads []load.Load
	stream := func(zone string, start, length time.Duration) {
		loads = append(loads, load.Load{
			Client: "client-" + zone, Service: "stock", Rate: z.rate, Start: start, For: length,
		})
	}
	last := len(zones) - 1
	for _, zone := range zones[:last] {
		stream(zone, 0, z.begin+z.outage+z.after)
	}
	stream(zones[last], 0, z.begin)
	stream(zones[last], z.begin+z.outage, z.after)
	return loads
}

func (z *zoneRun) row(r *report.Report) bench.Row {
	out := r.Between(z.begin, z.begin+z.outage)
	row := bench.FromReport(z.policy, out)
	row.Variant, row.Note = z.how, failures(out)
	row.RecoveryS = bench.Recovery(r, z.begin, 0.999)
	row.AddShare("failed", 1-out.Success)
	return row
}
