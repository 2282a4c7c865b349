package balance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// The names of policies.
const (
	// PeakEWMA takes of two endpoints drawn at random the one on which the call
	// will probably be done first: the product of its latency and its calls in
	// flight is the smaller. The default.
	PeakEWMA = "p2c-peak-ewma"
	// P2C takes the one of two endpoints drawn at random that has fewer calls
	// in flight.
	P2C = "p2c-least-request"
	// LeastRequest takes the endpoint with the fewest calls in flight. It looks
	// at all of them, which takes a time in proportion to their number.
	LeastRequest = "least-request"
	// RoundRobin takes one after the other. With unequal weights the turns of an
	// endpoint are evenly spread, and at any time differ from its share of all
	// by less than 1 while the weights, divided by what they have in common, sum
	// up to 16384 at most.
	RoundRobin = "round-robin"
	// WeightedRoundRobin takes one after the other, by what their servers report
	// ([Endpoint.Report]): the weight of an endpoint is its requests per second,
	// divided by its utilization plus [Weighted.ErrorPenalty] times the part of
	// its requests that fail, multiplied with the instance's own weight. One of
	// which nothing is known has the mean of the others'. While fewer than two
	// are known it is RoundRobin.
	WeightedRoundRobin = "weighted-round-robin"
	// Prequal goes by what servers report of their requests in flight and their
	// latency ([Endpoint.Report]), in a pool of fresh reports of some endpoints:
	// of those with not clearly more requests in flight than usual, the one with
	// the least latency, or the fewest requests if they do not tell that. See
	// [PrequalSettings]. Endpoints that report nothing get their calls as by
	// PeakEWMA.
	Prequal = "prequal"
	// Random draws one.
	Random = "random"
	// RingHash, Maglev and Rendezvous send calls with the same key to the same
	// endpoint while they can, on all clients: see [Hash] for keys, and package
	// hashring for the kinds. What is left out or full hands its calls to all
	// others, each key in an order of its own, and gets them back afterwards.
	RingHash   = "ring-hash"
	Maglev     = "maglev"
	Rendezvous = "rendezvous"
)

// DefaultSlowStart is used where [Policy.SlowStart] is zero.
const DefaultSlowStart = 30 * time.Second

// Policy says how calls are spread. It is plain data; a zero field means its
// default. In JSON durations are strings such as "10s", and an unknown name is
// an error.
type Policy struct {
	// Name is PeakEWMA, P2C, LeastRequest, RoundRobin, WeightedRoundRobin,
	// Prequal, Random, RingHash, Maglev or Rendezvous, or that of a policy of
	// one's own: see [WithPicker]. Default PeakEWMA.
	Name string
	// SlowStart is how long an endpoint that is new or has come back takes to
	// get its whole share, starting from 10 %. Default 30 s; negative is none.
	SlowStart time.Duration
	// Weighted are the settings of WeightedRoundRobin.
	Weighted Weighted
	// Prequal are the settings of Prequal.
	Prequal PrequalSettings
	// Hash are the settings of RingHash, Maglev and Rendezvous.
	Hash Hash
	// Ejection says when an endpoint is left out because it fails.
	Ejection Ejection
	// Select names the instances that get calls at all. Default all.
	Select Selector
	// Splits send parts of the calls to parts of the instances. Default none.
	Splits []Split
	// Zones says when calls stay in the caller's zone.
	Zones Zones
	// Subset says when a part of a large service is used.
	Subset Subset
	// Sticky keeps the calls of a session at one endpoint. Default off.
	Sticky Sticky
	// Shadow sends some requests a second time, to see how another version
	// answers them. Default off.
	Shadow Shadow
}

// WithDefaults returns p with every zero field set to its default.
func (p Policy) WithDefaults() Policy {
	p.Name = cmp.Or(p.Name, PeakEWMA)
	p.SlowStart = cmp.Or(p.SlowStart, DefaultSlowStart)
	p.Weighted.withDefaults()
	p.Prequal.withDefaults()
	p.Hash.withDefaults()
	p.Ejection.withDefaults()
	p.Zones.withDefaults()
	p.Subset.withDefaults()
	p.Sticky.withDefaults()
	p.Shadow.withDefaults()
	return p
}

// Validate reports, joined, everything that is wrong with p. The zero Policy is
// valid. Custom are the names that are not of this package: see [WithPicker].
func (p Policy) Validate(custom ...string) error {
	return p.validate(slices.Concat(known, custom))
}

// validate is Validate where there are policies of other names.
func (p Policy) validate(names []string) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: "+format, args...))
	}
	if !slices.Contains(names, cmp.Or(p.Name, PeakEWMA)) {
		bad("policy %q: want one of %s", p.Name, strings.Join(names, ", "))
	}
	for i := range p.Splits {
		errs = append(errs, p.Splits[i].validate(i)...)
	}
	return errors.Join(append(errs, p.Weighted.validate(), p.Prequal.validate(), p.Hash.validate(), p.Ejection.validate(), p.Zones.validate(), p.Subset.validate(),
		p.Sticky.validate(), p.Shadow.validate())...)
}

// policyJSON is the form of Policy in JSON.
type policyJSON struct {
	Name      string            `json:"policy,omitzero"`
	SlowStart duration.Duration `json:"slow_start,omitzero"`
	Weighted  weightedJSON      `json:"weighted,omitzero"`
	Prequal   prequalJSON       `json:"prequal,omitzero"`
	Hash      Hash              `json:"hash,omitzero"`
	Ejection  ejectionJSON      `json:"ejection,omitzero"`
	Select    Selector          `json:"select,omitzero"`
	Splits    []Split           `json:"splits,omitzero"`
	Zones     Zones             `json:"zones,omitzero"`
	Subset    Subset            `json:"subset,omitzero"`
	Sticky    stickyJSON        `json:"sticky,omitzero"`
	Shadow    Shadow            `json:"shadow,omitzero"`
}

func (p Policy) json() policyJSON {
	return policyJSON{p.Name, duration.Duration(p.SlowStart), p.Weighted.json(), p.Prequal.json(), p.Hash, p.Ejection.json(), p.Select, p.Splits, p.Zones, p.Subset,
		p.Sticky.json(), p.Shadow}
}

// MarshalJSON writes the fields that are set.
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of p as it was,
// so that one document can be laid over another. After an error p is unchanged.
func (p *Policy) UnmarshalJSON(b []byte) error {
	j := p.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("balance: policy: %w", err)
	}
	*p = Policy{j.Name, time.Duration(j.SlowStart), j.Weighted.weighted(), j.Prequal.settings(), j.Hash, j.Ejection.ejection(), j.Select, j.Splits, j.Zones, j.Subset,
		j.Sticky.sticky(), j.Shadow}
	return nil
}
