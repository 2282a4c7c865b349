package transporttest_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// A scenario runs with two clients: that of gabion, which tries again, and one
// of net/http that picks a replica at random. In a test, Scenario.Run takes the
// place of Do.
func ExampleScenario() {
	s := transporttest.Scenario{
		Name: "a replica answers 503",
		Services: []transporttest.ServiceSpec{
			{Name: "pricing", Replicas: 4, Behaviour: transporttest.Behaviour{Work: dist.Exponential(5 * time.Millisecond)}},
		},
		Loads:  []load.Load{{Client: "web", Service: "pricing", Rate: 50, For: 20 * time.Second}},
		Faults: []transporttest.Fault{{Kind: transporttest.Status, Status: http.StatusServiceUnavailable, On: "pricing-1"}},
	}
	for _, client := range []struct {
		name string
		via  transporttest.Via
	}{
		{"gabion", transporttest.Gabion},
		{"random", func(p *transporttest.Process) http.RoundTripper {
			return &anyReplica{p: p, next: p.PlainClient().Transport}
		}},
	} {
		r, err := s.Do(transporttest.WithVia(client.via))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: more than 99 %% answered: %v\n", client.name, r.Success > 0.99)
	}
	// Output:
	// gabion: more than 99 % answered: true
	// random: more than 99 % answered: false
}

// anyReplica sends each call to one of four replicas, drawn at random.
type anyReplica struct {
	p    *transporttest.Process
	next http.RoundTripper
}

func (a *anyReplica) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = fmt.Sprintf("%s-%d", r.URL.Host, 1+a.p.Rand().Uint64()%4)
	return a.next.RoundTrip(r)
}

// A scenario can be a file.
func ExampleReadScenario() {
	s, err := transporttest.ReadScenario(strings.NewReader(`{
		"services": [
			{"name": "cart", "replicas": 2, "behaviour": {"calls": ["pricing/v1/quote"]}},
			{"name": "pricing", "replicas": 3, "behaviour": {"work": "2ms", "cores": 1}}
		],
		"loads": [{"client": "web", "service": "cart", "kind": "constant", "rate": 10, "for": "10s"}],
		"faults": [{"kind": "crash", "on": "pricing-2", "at": "2s", "for": "3s"}]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := s.Do()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d of %d answered\n", r.OK, r.Calls)
	for _, e := range r.Events {
		fmt.Println(e.At.Round(time.Second), e)
	}
	// Output:
	// 100 of 100 answered
	// 2s fault pricing-2 (crash pricing-2 at 2s for 3s)
	// 2s crash pricing-2
	// 5s heal pricing-2 (crash pricing-2 at 2s for 3s)
	// 5s restart pricing-2
}

// Faults are drawn from a space: the same seed gives the same ones.
func ExampleRandomFaults() {
	faults := transporttest.RandomFaults(1, 3, transporttest.FaultSpace{
		On:    []string{"pricing-1", "pricing-2"},
		Links: [][2]string{{"cart", "pricing"}},
		Kinds: []transporttest.Kind{transporttest.Crash, transporttest.Partition, transporttest.Status},
		Until: 20 * time.Second,
	})
	for _, f := range faults {
		fmt.Println(f)
	}
	// Output:
	// crash pricing-1 at 8.163s for 2.625s
	// crash pricing-2 at 9.973s for 3.953s
	// partition cart>pricing at 11.619s for 2.915s
}
