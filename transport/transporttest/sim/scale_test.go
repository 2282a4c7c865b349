package sim_test

import (
	"math"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// crowd is so many clients of so many servers, busy by 70 %, and so many calls,
// with servers that slow down, fail and die.
func crowd(clients, servers, calls int) sim.Config {
	const each = 50 * time.Millisecond
	rate := 0.7 * float64(servers) / each.Seconds()
	length := time.Duration(float64(calls) / rate * float64(time.Second))
	at := func(part float64) time.Duration { return time.Duration(part * float64(length)) }
	some := max(1, servers/50)
	return sim.Config{
		Name: "crowd", Seed: 1, For: length,
		Clients: []sim.Clients{{Name: "c", Count: clients}},
		Servers: []sim.Servers{{Service: "s", Count: servers, Kind: sim.Queue, Time: dist.Exponential(each)}},
		Load:    []load.Load{{Client: "c", Service: "s", Rate: rate}},
		Changes: []sim.Change{
			{Kind: sim.Slow, Service: "s", Count: some, Factor: 5, At: at(.2), For: at(.1)},
			{Kind: sim.Fail, Service: "s", First: some, Count: some, At: at(.4), For: at(.1)},
			{Kind: sim.Down, Service: "s", First: 2 * some, Count: some, At: at(.6), For: at(.1)},
		},
	}
}

// churning is clients of a set of servers in which one is restarted every 20 ms.
func churning(clients, servers, calls int) sim.Config {
	c := crowd(clients, servers, calls)
	c.Name, c.Servers[0].Kind, c.Load[0].Rate = "churning", sim.Delay, float64(calls)/60
	c.For = time.Minute
	c.Changes = []sim.Change{{Kind: sim.Churn, Service: "s", Every: 20 * time.Millisecond, Away: dist.Exponential(5 * time.Second)}}
	c.Lists = sim.Lists{Delay: dist.Uniform(0, time.Second), Every: time.Second}
	return c
}

func mustRun(t testing.TB, c sim.Config, opts ...sim.Option) *sim.Result {
	t.Helper()
	r, err := sim.Run(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A crowd of a tenth in each direction. Its figures are those of the whole one
// as far as a client cannot tell how many others there are.
func TestCrowd(t *testing.T) {
	skipWithRace(t)
	r := mustRun(t, crowd(100, 100, 100_000))
	if off := math.Abs(float64(r.Calls)/100_000 - 1); off > .02 {
		t.Errorf("%d calls, want about 100000", r.Calls)
	}
	if r.Success < .999 || r.AttemptsPerCall < 1 || r.AttemptsPerCall > 1.1 {
		t.Errorf("success %v with %v attempts per call", r.Success, r.AttemptsPerCall)
	}
	if len(r.ByReplica) != 100 {
		t.Errorf("%d servers were called, want 100", len(r.ByReplica))
	}
}

// With 10,000 endpoints of which 50 a second are restarted nearly all calls
// succeed, though lists are up to two seconds old.
func TestChurn(t *testing.T) {
	skipWithRace(t)
	c := churning(2, 10_000, 20_000)
	c.For = 20 * time.Second
	r := mustRun(t, c)
	if r.Success < .999 {
		t.Errorf("success %v, errors %v", r.Success, r.Errors)
	}
	if r.Lists < 2*18 || r.AttemptsPerCall <= 1 {
		t.Errorf("%d lists, %v attempts per call: nothing was restarted", r.Lists, r.AttemptsPerCall)
	}
}

// BenchmarkCrowd is 1,000,000 calls of 1,000 clients to 1,000 servers.
func BenchmarkCrowd(b *testing.B) { benchmark(b, crowd(1000, 1000, 1_000_000)) }

// BenchmarkChurn is 20 clients of 10,000 servers.
func BenchmarkChurn(b *testing.B) { benchmark(b, churning(20, 10_000, 500_000)) }

func benchmark(b *testing.B, c sim.Config) {
	calls := 0
	for b.Loop() {
		calls += mustRun(b, c).Calls
	}
	b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/op")
}

// BenchmarkEndpoint tells what a client keeps for each server that it knows.
func BenchmarkEndpoint(b *testing.B) {
	const clients, servers = 100, 1000
	list := make([]discovery.Instance, servers)
	for i := range list {
		name := "s-" + strconv.Itoa(i)
		list[i] = discovery.Instance{ID: name, Service: "s", Addr: name + ":1"}
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := make([]*balance.Balancer, clients)
		for i := range all {
			all[i], _ = balance.New(balance.Policy{})
			all[i].Update(list)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(all)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/clients/servers, "B/endpoint")
}
