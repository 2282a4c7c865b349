package balance

import (
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/internal/random"
)

// Defaults of [Zones], used where a field is zero.
const (
	DefaultZoneMinEndpoints = 6
	DefaultZoneMinLocal     = 2
)

// Zones says when calls stay in the caller's zone. They do as far as the
// endpoints there can carry them: if the zone has q of the available weight and
// the caller's service has p of its instances there, all stay for q >= p, else
// q/p of them, and the rest goes to the zones that have more than they need.
// Not knowing its peers, a caller takes them to be spread evenly over the zones
// that have endpoints. Source: Envoy's zone aware routing.
//
// It works only for a caller that knows its zone ([WithCaller]).
type Zones struct {
	// Disabled spreads calls over all zones alike.
	Disabled bool `json:"disabled,omitzero"`
	// MinEndpoints is how many must be available for calls to stay. Default 6.
	MinEndpoints int `json:"min_endpoints,omitzero"`
	// MinLocal is how many of them must be in the caller's zone. Default 2.
	MinLocal int `json:"min_local,omitzero"`
}

func (z *Zones) withDefaults() {
	if z.MinEndpoints == 0 {
		z.MinEndpoints = DefaultZoneMinEndpoints
	}
	if z.MinLocal == 0 {
		z.MinLocal = DefaultZoneMinLocal
	}
}

func (z *Zones) validate() error {
	var errs []error
	if z.MinEndpoints < 0 {
		errs = append(errs, fmt.Errorf("balance: zones min_endpoints %d: must not be negative", z.MinEndpoints))
	}
	if z.MinLocal < 0 {
		errs = append(errs, fmt.Errorf("balance: zones min_local %d: must not be negative", z.MinLocal))
	}
	return errors.Join(errs...)
}

// zoneSplit spreads a group's calls over the zones.
type zoneSplit struct {
	names []string
	sets  []*set    // the caller's zone first
	upTo  []float64 // cumulative, the last is 1
}

// draw returns the set of one zone.
func (z *zoneSplit) draw(at float64) *set {
	for i, upTo := range z.upTo {
		if at < upTo {
			return z.sets[i]
		}
	}
	return z.sets[len(z.sets)-1]
}

// zoneShares returns which part of a caller's calls goes to each zone. have is
// the available weight by zone, callers how many of its peers are in each, and
// own the index of its zone. A sum of zero in callers stands for nothing known.
func zoneShares(have, callers []float64, own int) []float64 {
	total, peers := 0.0, 0.0
	for i := range have {
		total += have[i]
		peers += callers[i]
	}
	need := func(i int) float64 {
		if peers == 0 {
			return 1 / float64(len(have))
		}
		return callers[i] / peers
	}
	shares := make([]float64, len(have))
	q, p := have[own]/total, need(own)
	if q >= p {
		shares[own] = 1
		return shares
	}
	shares[own] = q / p
	spare := 0.0
	for i := range have {
		if i != own {
			spare += max(0, have[i]/total-need(i))
		}
	}
	if spare == 0 { // by rounding only: the zone has as good as what it needs
		shares[own] = 1
		return shares
	}
	for i := range have {
		if i == own {
			continue
		}
		part := max(0, have[i]/total-need(i)) / spare
		shares[i] = (1 - shares[own]) * part
	}
	return shares
}

// zoned returns how calls of a group are spread over zones, or nil if zones do
// not matter. The lock must be held.
func (b *Balancer) zoned(g *group, members []*Endpoint, key string) *zoneSplit {
	p := &b.policy.Zones
	if p.Disabled || b.caller.Zone == "" || g.panicking || len(g.set.active) < p.MinEndpoints {
		return nil
	}
	byZone := map[string][]*Endpoint{}
	names := []string{b.caller.Zone}
	for _, e := range g.set.active {
		z := e.instance.Load().Zone
		if byZone[z] == nil && z != b.caller.Zone {
			names = append(names, z)
		}
		byZone[z] = append(byZone[z], e)
	}
	if len(names) == 1 || len(byZone[b.caller.Zone]) < p.MinLocal {
		return nil
	}
	have, callers := make([]float64, len(names)), make([]float64, len(names))
	for i, name := range names {
		for _, e := range byZone[name] {
			have[i] += float64(e.weight())
		}
		callers[i] = float64(b.peers.Zones[name])
	}
	z := &zoneSplit{}
	sum := 0.0
	for i, share := range zoneShares(have, callers, 0) {
		if share <= 0 {
			continue
		}
		sum += share
		z.names = append(z.names, names[i])
		z.sets = append(z.sets, b.newSet(byZone[names[i]], b.owners(members, names[i]), key+"/"+names[i]))
		z.upTo = append(z.upTo, sum)
	}
	return z
}

// owners returns the ones of members in a zone, if the policy goes by hash.
func (b *Balancer) owners(members []*Endpoint, zone string) []*Endpoint {
	if !b.policy.hashes() {
		return nil
	}
	var list []*Endpoint
	for _, e := range members {
		if e.instance.Load().Zone == zone {
			list = append(list, e)
		}
	}
	return list
}

// local draws the part of a group that a call stays in, which is all of it if
// zones do not matter. The hash decides, unless it is zero: a key has one owner.
func (g *group) local(b *Balancer, hash uint64) *set {
	if g.zones == nil {
		return g.set
	}
	if len(g.zones.sets) == 1 {
		return g.zones.sets[0]
	}
	if hash != 0 {
		return g.zones.draw(random.Unit(hash))
	}
	return g.zones.draw(random.Float64(b.rand))
}
