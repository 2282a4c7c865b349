package experiments

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// drains are how long an instance goes on serving after it has left the
// registry.
var drains = []struct {
	variant string
	delay   time.Duration
}{
	{"drains 2 s", 2 * time.Second},
	{"drains 0 s", 0},
}

// RollingRestart replaces every instance of a service under load.
func RollingRestart() bench.Experiment {
	return bench.Experiment{
		Name:  "rolling-restart",
		Title: "every instance of a service is replaced under load",
		About: `
A service has ten replicas whose work takes 20 ms on average, exponentially distributed. Four clients
make 100 GET and 100 POST requests a second together; a POST may not be sent twice. From the fifth
second on, one replica every five seconds is asked to stop, leaves the registry, waits for what is
in flight and ends; three seconds after it was asked a new process is there, at the same address.
Clients hear of a change of the registry after 20 to 120 ms. Everything is real servers and clients, in virtual time. A graceful
restart must lose nothing: success must be 1.

An instance that goes on serving for 2 s after it has left the registry is gone from every client's
list before it closes its listener. One that stops listening at once meets those that have not
heard yet: they find connections refused, or closed under them. A connection that was refused
carried no request, so gabion tries another instance, whatever the method.

round-robin is net/http over what the registry lists, in turn, without a retry, and servers of
net/http that are ended by Shutdown. net/http itself repeats a GET whose idle connection turns out
to be closed, but not a POST.`,
		Takes:    15 * time.Second,
		Policies: []string{roundRobin, whole},
		Columns:  []string{"success", "failed", "p50_ms", "p99_ms", "p9999_ms", "attempts_per_call"},
		Chart:    []string{"success", "p9999_ms"},
		Run:      runRollingRestart,
	}
}

// rollout is one run in which all instances are replaced.
type rollout struct {
	policy   string
	drain    int // of drains
	seed     uint64
	replicas int
}

// The pace of a rollout.
const (
	rolloutBegin = 5 * time.Second
	rolloutStep  = 5 * time.Second
	rolloutAway  = 3 * time.Second // from the signal to the new process
)

func runRollingRestart(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	var all []rollout
	for _, policy := range r.Policies {
		for drain := range drains {
			one := rollout{policy: policy, drain: drain, seed: r.Seed, replicas: 10}
			if r.Quick {
				one.replicas = 3
			}
			all = append(all, one)
		}
	}
	return bench.Each(ctx, all, func(ctx context.Context, one rollout) (bench.Row, error) {
		r.Tell("%s, %s", one.policy, drains[one.drain].variant)
		return one.run(ctx)
	})
}

func (o *rollout) run(ctx context.Context) (bench.Row, error) {
	var row bench.Row
	err := onNetwork("rolling-restart", o.seed, func(n *transporttest.Network) { row = o.row(o.runOn(ctx, n)) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return row, err
}

func (o *rollout) runOn(ctx context.Context, n *transporttest.Network) *report.Report {
	s := n.Serve("orders", o.replicas,
		func(*transporttest.Process) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
		},
		transporttest.WithPlainServer(o.policy != whole),
		transporttest.WithDrain(drains[o.drain].delay, 15*time.Second),
	)
	n.Fault(transporttest.Fault{Kind: transporttest.Slow, On: "orders", Latency: dist.Exponential(20 * time.Millisecond)})
	for i, h := range s.Hosts() {
		n.Fault(transporttest.Fault{
			Kind: transporttest.Restart, On: h.Name(), At: rolloutBegin + time.Duration(i)*rolloutStep, For: rolloutAway,
		})
	}
	return n.RunVia(stopping(ctx, o.client), o.loads()...)
}

func (o *rollout) client(p *transporttest.Process) http.RoundTripper {
	if o.policy == whole {
		return p.Client().Transport
	}
	return newRotation(p, "orders")
}

func (o *rollout) loads() []load.Load {
	length := rolloutBegin + time.Duration(o.replicas)*rolloutStep + 5*time.Second
	var loads []load.Load
	for _, client := range []string{"client-1", "client-2", "client-3", "client-4"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			loads = append(loads, load.Load{
				Client: client, Service: "orders", Method: method, Rate: 25, For: length, Timeout: 5 * time.Second,
			})
		}
	}
	return loads
}

func (o *rollout) row(r *report.Report) bench.Row {
	row := bench.FromReport(o.policy, r)
	row.Variant, row.Note = drains[o.drain].variant, failures(r)
	row.Add("failed", float64(r.Calls-r.OK))
	return row
}
