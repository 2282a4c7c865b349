package transporttest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// full is a scenario that sets about everything.
func full() transporttest.Scenario {
	return transporttest.Scenario{
		Name: "full", Seed: 7, Duration: 4 * time.Second, Latency: dist.Uniform(time.Millisecond, 2*time.Millisecond),
		Services: []transporttest.ServiceSpec{
			{Name: "cart", Replicas: 2, HTTP2: true, Behaviour: transporttest.Behaviour{Calls: []string{"pricing/v1/quote", "stock"}, Parallel: true}},
			{Name: "pricing", Replicas: 3, Zones: []string{"a", "b"}, Behaviour: transporttest.Behaviour{
				Work: dist.Exponential(2 * time.Millisecond), Cores: 2, Workers: 10, Backlog: -1, Failures: 0.05,
			}},
			{Name: "stock", Plain: true},
		},
		Loads: []load.Load{
			{Client: "web", Service: "cart", Rate: 50, Timeout: time.Second},
			{Client: "batch", Service: "cart", Kind: load.Closed, Workers: 2, Think: dist.Constant(100 * time.Millisecond), Start: time.Second, For: 2 * time.Second},
		},
		Faults: []transporttest.Fault{
			{Kind: transporttest.Crash, On: "pricing-2", At: time.Second, For: time.Second},
			{Kind: transporttest.Latency, From: "cart", To: "stock", At: 2 * time.Second, For: time.Second, Latency: dist.Constant(20 * time.Millisecond)},
		},
	}
}

func TestScenarioJSON(t *testing.T) {
	want := full()
	b, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got, err := transporttest.ReadScenario(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestScenarioRun(t *testing.T) {
	r := full().Run(t)
	if r.Name != "full" || r.Seed != 7 {
		t.Errorf("report of %q, seed %d, want full, seed 7", r.Name, r.Seed)
	}
	if got, want := r.Duration, 4*time.Second; got < want || got > want+time.Second {
		t.Errorf("duration %v, want about %v", got, want)
	}
	if got, want := r.Success, 0.95; got < want {
		t.Errorf("success %v, want at least %v", got, want)
	}
	attempts := map[string]int{}
	for _, p := range r.ByReplica {
		attempts[p.Service] += p.Attempts
	}
	for _, name := range []string{"cart", "pricing", "stock"} {
		if attempts[name] < 150 {
			t.Errorf("%d attempts at %s, want some for each of the calls", attempts[name], name)
		}
	}
	if len(r.Events) < 4 {
		t.Errorf("events %v, want two faults and their ends", r.Events)
	}
}

// The same scenario, another client: one without retries meets what gabion's
// covers.
func TestScenarioVia(t *testing.T) {
	s := transporttest.Scenario{
		Services: []transporttest.ServiceSpec{{Name: "pricing", Replicas: 2}},
		Loads:    []load.Load{{Client: "web", Service: "pricing", Rate: 50, For: 5 * time.Second}},
		Faults:   []transporttest.Fault{{Kind: transporttest.Status, Status: 503, On: "pricing-1"}},
	}
	plain := s.Run(t, transporttest.WithVia(func(p *transporttest.Process) http.RoundTripper {
		return always{"pricing-1", p.PlainClient().Transport}
	}))
	if plain.OK != 0 {
		t.Errorf("a client that knows the failing replica only: %d of %d OK, want none", plain.OK, plain.Calls)
	}
	if r := s.Run(t); r.Success != 1 || r.Calls != plain.Calls {
		t.Errorf("gabion: success %v of %d calls, want 1 of %d", r.Success, r.Calls, plain.Calls)
	}
}

// always calls one host.
type always struct {
	host string
	next http.RoundTripper
}

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = a.host
	return a.next.RoundTrip(r)
}

func TestBehaviour(t *testing.T) {
	work := dist.Constant(100 * time.Millisecond)
	burst := load.Load{Client: "web", Service: "s", Kind: load.Burst, Burst: 4}
	for name, tc := range map[string]struct {
		behaviour transporttest.Behaviour
		ok        int
		slowest   time.Duration // rounded to 10 ms
	}{
		"nothing":       {transporttest.Behaviour{}, 4, 0},
		"work":          {transporttest.Behaviour{Work: work}, 4, 100 * time.Millisecond},
		"one core":      {transporttest.Behaviour{Work: work, Cores: 1}, 4, 400 * time.Millisecond},
		"two cores":     {transporttest.Behaviour{Work: work, Cores: 2}, 4, 200 * time.Millisecond},
		"one worker":    {transporttest.Behaviour{Work: work, Workers: 1, Backlog: -1}, 4, 400 * time.Millisecond},
		"short backlog": {transporttest.Behaviour{Work: work, Workers: 1, Backlog: 1}, 2, 200 * time.Millisecond},
		"failures":      {transporttest.Behaviour{Work: work, Failures: 1}, 0, 100 * time.Millisecond},
		"a call":        {transporttest.Behaviour{Calls: []string{"slow"}}, 4, 50 * time.Millisecond},
		"calls":         {transporttest.Behaviour{Calls: []string{"slow", "slow/2"}}, 4, 100 * time.Millisecond},
		"parallel":      {transporttest.Behaviour{Calls: []string{"slow", "slow/2"}, Parallel: true}, 4, 50 * time.Millisecond},
		"broken call":   {transporttest.Behaviour{Calls: []string{"broken"}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := transporttest.Scenario{
				Latency: dist.Constant(time.Microsecond),
				Services: []transporttest.ServiceSpec{
					{Name: "s", Plain: true, Behaviour: tc.behaviour},
					{Name: "slow", Plain: true, Behaviour: transporttest.Behaviour{Work: dist.Constant(50 * time.Millisecond)}},
					{Name: "broken", Plain: true, Behaviour: transporttest.Behaviour{Failures: 1}},
				},
				Loads: []load.Load{burst},
			}
			r := s.Run(t, transporttest.WithVia(func(p *transporttest.Process) http.RoundTripper {
				return firstReplica{p.PlainClient().Transport}
			}))
			if got := r.Quantile(1).Round(10 * time.Millisecond); r.Calls != 4 || r.OK != tc.ok || got != tc.slowest {
				t.Errorf("got %d calls, %d OK, slowest %v; want 4, %d, %v", r.Calls, r.OK, got, tc.ok, tc.slowest)
			}
		})
	}
}

// firstReplica calls the first host of each service, and does not try again.
type firstReplica struct{ next http.RoundTripper }

func (f firstReplica) RoundTrip(r *http.Request) (*http.Response, error) {
	return always{r.URL.Host + "-1", f.next}.RoundTrip(r)
}

func TestScenarioIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*transporttest.Scenario)
		want   string
	}{
		"no service": {func(s *transporttest.Scenario) { *s = transporttest.Scenario{} }, "services: want at least one"},
		"bad name": {func(s *transporttest.Scenario) {
			s.Services = append(s.Services, transporttest.ServiceSpec{Name: "St ock"})
		}, `services[3]: name: discovery: bad service name`},
		"registry": {func(s *transporttest.Scenario) {
			s.Services = append(s.Services, transporttest.ServiceSpec{Name: "registry"})
		}, `the name is that of the registry's host`},
		"twice": {func(s *transporttest.Scenario) {
			s.Services = append(s.Services, transporttest.ServiceSpec{Name: "pricing"})
		}, `services: "pricing" is services[1] and services[3]; rename one`},
		"host's name": {func(s *transporttest.Scenario) {
			s.Services = append(s.Services, transporttest.ServiceSpec{Name: "pricing-1"})
		}, `services: "pricing-1" is services[3] and a host of services[1]; rename one`},
		"replicas":       {func(s *transporttest.Scenario) { s.Services[0].Replicas = -1 }, `services[0] "cart": replicas -1: want 1 to 10000`},
		"cores":          {func(s *transporttest.Scenario) { s.Services[1].Behaviour.Work = dist.Dist{} }, `cores 2: without work nobody needs them; set work`},
		"backlog":        {func(s *transporttest.Scenario) { s.Services[1].Behaviour.Workers = 0 }, `backlog -1: nobody waits without workers; set workers`},
		"failures":       {func(s *transporttest.Scenario) { s.Services[1].Behaviour.Failures = 5 }, `failures 5: want a share from 0 to 1`},
		"parallel":       {func(s *transporttest.Scenario) { s.Services[0].Behaviour.Calls = []string{"stock"} }, `parallel: there are 1 calls, nothing to do at once; leave it out`},
		"callee":         {func(s *transporttest.Scenario) { s.Services[0].Behaviour.Calls[1] = "stokc/x" }, `calls[1] "stokc/x": there is no service "stokc"; services are [cart pricing stock]`},
		"circle":         {func(s *transporttest.Scenario) { s.Services[2].Behaviour.Calls = []string{"cart"} }, `services: they call each other in a circle: cart > stock > cart`},
		"work":           {func(s *transporttest.Scenario) { s.Services[1].Behaviour.Work.Mean = -1 }, `services[1] "pricing": behaviour: work: dist: mean -1ns: must be positive`},
		"latency":        {func(s *transporttest.Scenario) { s.Latency.Kind = "slow" }, `latency: dist: kind "slow"`},
		"duration":       {func(s *transporttest.Scenario) { s.Duration = -1 }, `duration -1ns: must not be negative; 0s is until all loads have ended`},
		"load":           {func(s *transporttest.Scenario) { s.Loads[0].Rate = 0 }, `loads[0]: load: rate 0: want calls per second`},
		"load's service": {func(s *transporttest.Scenario) { s.Loads[0].Service = "crat" }, `loads[0]: there is no service "crat"; services are [cart pricing stock]`},
		"client":         {func(s *transporttest.Scenario) { s.Loads[0].Client = "cart" }, `loads[0]: client "cart": want one host, such as web`},
		"endless":        {func(s *transporttest.Scenario) { s.Duration = 0 }, `loads[0]: it would never end; set its for, or the scenario's duration`},
		"late load":      {func(s *transporttest.Scenario) { s.Loads[1].Start = 9 * time.Second }, `loads[1]: start 9s: the scenario ends at 4s`},
		"fault":          {func(s *transporttest.Scenario) { s.Faults[0].Status = 500 }, `scenario: faults[0]: fault "crash": status does not count for this kind`},
		"fault's victim": {func(s *transporttest.Scenario) { s.Faults[0].On = "pricing-4" }, `faults[0]: there is no host or service "pricing-4"; services are [cart pricing stock], clients [web batch]`},
	} {
		t.Run(name, func(t *testing.T) {
			s := full()
			tc.change(&s)
			err := s.Validate()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v\nwant %s", err, tc.want)
			}
			if n := strings.Count(err.Error(), "\n") + 1; n > 2 {
				t.Errorf("one mistake, %d errors:\n%v", n, err)
			}
			if _, doErr := s.Do(); doErr == nil || doErr.Error() != err.Error() {
				t.Errorf("Do: %v, want %v", doErr, err)
			}
		})
	}
}

func TestScenarioReportsAllThatIsWrong(t *testing.T) {
	s := full()
	s.Duration, s.Services[0].Replicas, s.Loads[0].Client, s.Faults[1].For = -1, -1, "", -1
	err := s.Validate()
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("4 mistakes, %d errors:\n%v", n, err)
	}
}

func TestReadScenarioRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:                             `read scenario: unexpected end of JSON input`,
		`{"servces": []}`:              `unknown field "servces"`,
		`{"duration": 5}`:              `want a string such as "250ms" or "5s"`,
		`{"services": [{"nam": "x"}]}`: `unknown field "nam"`,
		`{} {}`:                        `invalid character`,
		`{}`:                           `services: want at least one`,
	} {
		if _, err := transporttest.ReadScenario(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

// In the caller's bubble a scenario is the same as in its own.
func TestRunIn(t *testing.T) {
	s := full()
	want := s.Run(t)
	transporttest.Test(t, func(t *testing.T, _ *transporttest.Network) {
		if got := s.RunIn(t); got.Calls != want.Calls || got.OK != want.OK || got.P99 != want.P99 {
			t.Errorf("%d of %d calls OK, P99 %v; want %d of %d, %v", got.OK, got.Calls, got.P99, want.OK, want.Calls, want.P99)
		}
	})
}

func TestReadFiles(t *testing.T) {
	s := full()
	s.Services[1].Behaviour.Work = dist.Dist{Kind: dist.KindQuantiles, File: "work.csv"}
	if _, err := s.Do(); err == nil || !strings.Contains(err.Error(), `file "work.csv" has not been read: use Scenario.ReadFiles`) {
		t.Errorf("got %v, want that the file has not been read", err)
	}
	if _, err := s.ReadFiles(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "services[1]: work") {
		t.Errorf("got %v, want where the file is named", err)
	}
	read, err := s.ReadFiles(fstest.MapFS{"work.csv": {Data: []byte("0.5,3ms\n1,9ms\n")}})
	if err != nil || len(read.Services[1].Behaviour.Work.Quantiles) != 2 {
		t.Errorf("got %v, %v", read.Services[1].Behaviour.Work, err)
	}
	if s.Services[1].Behaviour.Work.File == "" {
		t.Error("the scenario itself was changed")
	}
}

func TestHandlerForNobody(t *testing.T) {
	_, err := full().Do(transporttest.WithHandler("crat", hello))
	if want := `there is a handler or program for service "crat", which is not in the scenario`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzScenario: what is read and valid is written and read as the same.
func FuzzScenario(f *testing.F) {
	b, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"services":[{"name":"a"}],"faults":[{"kind":"drip","rate":7}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := transporttest.ReadScenario(bytes.NewReader(in))
		if err != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := transporttest.ReadScenario(bytes.NewReader(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		twice, err := json.Marshal(again)
		if err != nil || !bytes.Equal(out, twice) {
			t.Fatalf("written as %s\nthen %s, %v", out, twice, err)
		}
	})
}
