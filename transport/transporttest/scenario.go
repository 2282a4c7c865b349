package transporttest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// A Scenario is a whole test as plain data: who is there, who calls whom, and
// what goes wrong. It can be a table in a test or a file of JSON, in which
// durations are strings and an unknown name is an error:
//
//	{
//	  "name": "a replica dies",
//	  "services": [
//	    {"name": "cart", "replicas": 2, "behaviour": {"calls": ["pricing/v1/quote"]}},
//	    {"name": "pricing", "replicas": 3, "behaviour": {"work": {"kind": "exponential", "mean": "5ms"}, "cores": 2}}
//	  ],
//	  "loads": [{"client": "web", "service": "cart", "rate": 50, "for": "30s"}],
//	  "faults": [{"kind": "crash", "on": "pricing-2", "at": "10s", "for": "5s"}]
//	}
//
// The same Scenario runs in a bubble, see [Scenario.Run], under many seeds, see
// [Explore], and on real sockets, see package sockets.
type Scenario struct {
	// Name is that of the report. Default that of the test.
	Name string
	// Seed is what everything random follows from. Default what GABION_SEED
	// says, else 1.
	Seed uint64
	// Duration is how long the scenario goes on: loads that would be longer,
	// or have no end, end then. Default 0, until all loads have ended.
	Duration time.Duration
	// Latency is how long data takes from one host to another, one way.
	// Default that of [WithLatency].
	Latency dist.Dist
	// Services are there from the start.
	Services []ServiceSpec
	// Loads are the calls that are made, and Faults what goes wrong. Their
	// times count from when all services are there.
	Loads  []load.Load
	Faults []Fault
}

// A ServiceSpec is a service of a [Scenario].
type ServiceSpec struct {
	// Name is what it is called by. Its hosts are name-1, name-2 and so on.
	Name string `json:"name"`
	// Replicas is how many hosts it has. Default 1.
	Replicas int `json:"replicas,omitempty"`
	// Zones are where the replicas are placed, in turn. Default none.
	Zones []string `json:"zones,omitempty"`
	// HTTP2 serves HTTP/2 beside HTTP/1.1.
	HTTP2 bool `json:"http2,omitempty"`
	// Plain serves with net/http alone, see [WithPlainServer].
	Plain bool `json:"plain,omitempty"`
	// Behaviour is what it does, unless it is in code: [WithHandler] and
	// [WithProgram] take its place.
	Behaviour Behaviour `json:"behaviour,omitzero"`
}

// A Behaviour is what a service without code does with each request: it waits
// for a free worker, works, calls others, and answers 200, or 502 if one of the
// calls failed. The zero Behaviour answers at once.
type Behaviour struct {
	// Work is how long a request takes on a core of its own. Default 0.
	Work dist.Dist `json:"work,omitzero"`
	// Cores is what the requests of a replica share: with n of them at work,
	// each gets min(1, Cores/n) of a core. Default 0, as many as it takes.
	Cores float64 `json:"cores,omitempty"`
	// Workers is how many requests a replica serves at a time, in the order in
	// which they came. Default 0, any number.
	Workers int `json:"workers,omitempty"`
	// Backlog is how many requests wait for a worker; those beyond are
	// answered 503. Negative is any number. Default 0.
	Backlog int `json:"backlog,omitempty"`
	// Calls are made after the work, GET requests to "service" or
	// "service/path", one after the other up to the first that fails.
	Calls []string `json:"calls,omitempty"`
	// Parallel makes the calls all at once.
	Parallel bool `json:"parallel,omitempty"`
	// Failures is the share of the requests that are answered 500 after the
	// work. Default 0.
	Failures float64 `json:"failures,omitempty"`
}

// maxReplicas bounds what a scenario may ask for by mistake.
const maxReplicas = 10000

// replicas is Replicas with its default.
func (s ServiceSpec) replicas() int { return cmp.Or(s.Replicas, 1) }

// hosts are the names of the hosts of the service.
func (s ServiceSpec) hosts() []string {
	var names []string
	for i := range min(s.replicas(), maxReplicas) {
		names = append(names, s.Name+"-"+strconv.Itoa(i+1))
	}
	return names
}

// scenarioJSON is the form of Scenario in JSON.
type scenarioJSON struct {
	Name     string            `json:"name,omitempty"`
	Seed     uint64            `json:"seed,omitempty"`
	Duration duration.Duration `json:"duration,omitzero"`
	Latency  dist.Dist         `json:"latency,omitzero"`
	Services []ServiceSpec     `json:"services,omitempty"`
	Loads    []load.Load       `json:"loads,omitempty"`
	Faults   []Fault           `json:"faults,omitempty"`
}

// MarshalJSON writes the fields that are set.
func (s Scenario) MarshalJSON() ([]byte, error) {
	return json.Marshal(scenarioJSON{
		Name: s.Name, Seed: s.Seed, Duration: duration.Duration(s.Duration), Latency: s.Latency,
		Services: s.Services, Loads: s.Loads, Faults: s.Faults,
	})
}

// UnmarshalJSON reads what MarshalJSON writes. It does not validate.
func (s *Scenario) UnmarshalJSON(b []byte) error {
	var j scenarioJSON
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("transporttest: scenario: %w", err)
	}
	*s = Scenario{
		Name: j.Name, Seed: j.Seed, Duration: time.Duration(j.Duration), Latency: j.Latency,
		Services: j.Services, Loads: j.Loads, Faults: j.Faults,
	}
	return nil
}

// maxScenario bounds the bytes of a scenario in JSON.
const maxScenario = 32 << 20

// ReadScenario reads one scenario in JSON, up to 32 MiB, and validates it.
func ReadScenario(r io.Reader) (Scenario, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxScenario+1))
	if err != nil {
		return Scenario{}, fmt.Errorf("transporttest: read scenario: %w", err)
	}
	if len(b) > maxScenario {
		return Scenario{}, fmt.Errorf("transporttest: read scenario: more than %d bytes", maxScenario)
	}
	var s Scenario
	if err := json.Unmarshal(b, &s); err != nil {
		return Scenario{}, fmt.Errorf("transporttest: read scenario: %w", err)
	}
	return s, s.Validate()
}

// ReadFiles returns s with what the files hold that its distributions and loads
// name.
func (s Scenario) ReadFiles(fsys fs.FS) (Scenario, error) {
	s = s.clone()
	var errs []error
	read := func(d *dist.Dist, where string) {
		loaded, err := d.Load(fsys)
		if err != nil {
			errs = append(errs, fmt.Errorf("transporttest: %s: %w", where, err))
			return
		}
		*d = loaded
	}
	read(&s.Latency, "latency")
	for i := range s.Services {
		read(&s.Services[i].Behaviour.Work, fmt.Sprintf("services[%d]: work", i))
	}
	for i := range s.Faults {
		read(&s.Faults[i].Latency, fmt.Sprintf("faults[%d]: latency", i))
		read(&s.Faults[i].Work, fmt.Sprintf("faults[%d]: work", i))
	}
	for i, l := range s.Loads {
		l, err := l.Read(fsys)
		if err != nil {
			errs = append(errs, fmt.Errorf("transporttest: loads[%d]: %w", i, err))
		}
		s.Loads[i] = l
	}
	return s, errors.Join(errs...)
}

// clone returns a copy whose lists are its own.
func (s Scenario) clone() Scenario {
	s.Services, s.Loads, s.Faults = slices.Clone(s.Services), slices.Clone(s.Loads), slices.Clone(s.Faults)
	return s
}

// cut returns the loads as they are with the end that Duration sets them.
func (s Scenario) cut() []load.Load {
	loads := slices.Clone(s.Loads)
	for i, l := range loads {
		if left := s.Duration - l.Start; s.Duration > 0 && (l.For == 0 || l.For > left) {
			loads[i].For = left
		}
	}
	return loads
}
