package balance

import (
	"slices"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// An Explanation tells why a call goes where it goes. [Call.Explain] asks for
// that of a pick, [Balancer.Explain] for that of one which nobody makes.
type Explanation struct {
	// Policy is the name of the policy in force.
	Policy string
	// Part is the share of a split that the call belongs to, such as "split 1
	// share 2" or "split 1 rest"; empty if no split speaks of it.
	Part string
	// Zone is the one that the call stays in; empty if zones do not matter.
	Zone string
	// Panic: so few endpoints are healthy that ejected ones are used too.
	Panic bool
	// Chosen is the endpoint; the zero Candidate if there was none.
	Chosen Candidate
	// Reason says how it came to be chosen.
	Reason ChoiceReason
	// Compared are those that the policy weighed against each other.
	Compared []Candidate
	// Excluded counts the endpoints that the call could not go to.
	Excluded map[Exclusion]int
	// Endpoints are all of them, in the order of the list. Only
	// [Balancer.Explain] fills it in.
	Endpoints []Candidate

	compared []*Endpoint
	at       *set              // the candidates; nil: there was no choice
	seen     Candidates        // those of at, as the policy sees them
	places   map[*Endpoint]int // in at
	group    map[*Endpoint]int // those of the whole part
}

// A Candidate is what is known of an endpoint at the moment of a pick.
type Candidate struct {
	// Instance is what discovery says.
	Instance discovery.Instance
	State    State
	// Excluded says why the call should not go there; empty if it may. That of
	// the one that was chosen is set too, if it is probed, has the session of the
	// call, or if there was no better.
	Excluded Exclusion
	// Weight is the instance's, at least 1.
	Weight int
	// InFlight is how many calls it had before this one.
	InFlight int
	// Latency is how long its answers take, as far as it is remembered; zero if
	// nothing is known.
	Latency time.Duration
	// Stalled is how long calls have been waiting there without any answer.
	Stalled time.Duration
	// Failing is the part of its calls that fail, lately.
	Failing float64
	// Reported is how many requests the server last said it has in flight, and
	// ReportAge how long ago that was; -1 if it has never said.
	Reported  int
	ReportAge time.Duration
	// SlowStart is the part of its share that it may have now; 1 is all.
	SlowStart float64
	// Cost is what the policy compares: less is better. Zero if the policy
	// compares nothing, or nothing is known yet.
	Cost float64
}

// A ChoiceReason says how an endpoint came to be chosen.
type ChoiceReason string

// The reasons.
const (
	// ByPolicy: the policy named it.
	ByPolicy ChoiceReason = "policy"
	// ByProbe: it is left out, its time is up, and the call is risked on it.
	ByProbe ChoiceReason = "probe"
	// BySearch: what the policy named was of no use, and this is the one that
	// fits best.
	BySearch ChoiceReason = "search"
	// ByFailOver: none of the part or the zone that the call belongs to was
	// of use.
	ByFailOver ChoiceReason = "fail-over"
)

// An Exclusion says why a call could not go to an endpoint.
type Exclusion string

// The exclusions.
const (
	ExcludedDraining    Exclusion = "draining"
	ExcludedEjected     Exclusion = "ejected"
	ExcludedUnreachable Exclusion = "unreachable"
	// ExcludedNotSelected: [Policy.Select] does not name it.
	ExcludedNotSelected Exclusion = "not_selected"
	// ExcludedOtherPart: it serves another part of a split.
	ExcludedOtherPart Exclusion = "other_part"
	// ExcludedOtherZone: the call stays in a zone, and it is elsewhere.
	ExcludedOtherZone Exclusion = "other_zone"
	// ExcludedTried: an earlier attempt of the call went there.
	ExcludedTried Exclusion = "tried"
	// ExcludedResting: it asked to be left alone, or could not be connected to
	// a moment ago.
	ExcludedResting Exclusion = "resting"
)

// A coster is a Picker that compares costs.
type coster interface {
	// cost returns what a call would cost on the candidate with index i.
	cost(c *Candidates, i int) float64
}

// Explain returns where the call would go now, and why, without sending it
// there: nothing is counted, and no call is risked on an endpoint that is left
// out. A policy that takes turns takes one. It looks at all endpoints.
func (b *Balancer) Explain(c Call) Explanation {
	var x Explanation
	c.Explain = &x
	v, now := b.view.Load(), b.now()
	g := v.base
	if v.splits != nil {
		g = v.group(b, &c)
	}
	var e *Endpoint
	if v.names != nil {
		e = v.session(b, &c)
	}
	if e == nil && len(v.base.set.active) > 0 {
		e = b.choose(v, g, now, &c)
	}
	b.explain(&c, v, g, now, e)
	x.Endpoints = make([]Candidate, 0, len(v.all))
	for _, e := range v.all {
		x.Endpoints = append(x.Endpoints, x.candidate(e, v, now, c.Tried))
	}
	return x
}

// A choice is the set that an endpoint was chosen from, and how.
type choice struct {
	at     *set
	reason ChoiceReason
}

// choice returns the one that was made last; x may be nil.
func (x *Explanation) choice() choice {
	if x == nil {
		return choice{}
	}
	return choice{x.at, x.Reason}
}

// decide notes which choice holds after all, unless x is nil.
func (x *Explanation) decide(c choice) {
	if x != nil {
		x.at, x.Reason = c.at, c.reason
	}
}

// note remembers that a policy looked at an endpoint.
func (x *Explanation) note(e *Endpoint) {
	if !slices.Contains(x.compared, e) {
		x.compared = append(x.compared, e)
	}
}

// explain fills in c.Explain for a pick of e, which is nil if there was none.
func (b *Balancer) explain(c *Call, v *view, g *group, now int64, e *Endpoint) {
	x, home := c.Explain, v.home(g)
	x.Policy, x.Part, x.Panic = v.policy.Name, g.name, home.panicking
	if x.at == nil {
		x.at = home.set
	}
	x.seen = newCandidates(x.at, now, c.Tried)
	x.places, x.group = x.at.index(), home.set.index()
	if home.zones != nil {
		if i := slices.Index(home.zones.sets, x.at); i >= 0 {
			x.Zone = home.zones.names[i]
		}
	}
	x.Compared = slices.Grow(x.Compared, len(x.compared))
	for _, seen := range x.compared {
		x.Compared = append(x.Compared, x.candidate(seen, v, now, c.Tried))
	}
	if e != nil {
		x.Chosen = x.candidate(e, v, now, c.Tried)
	}
	x.Excluded = map[Exclusion]int{}
	for _, other := range v.all {
		if why := x.exclusion(other, v, now, c.Tried); why != "" && other != e {
			x.Excluded[why]++
		}
	}
}

// candidate returns what is known of e.
func (x *Explanation) candidate(e *Endpoint, v *view, now int64, tried []*Endpoint) Candidate {
	in := e.instance.Load()
	c := Candidate{
		Instance: *in, State: e.State(), Weight: e.weight(), InFlight: e.InFlight(),
		Excluded: x.exclusion(e, v, now, tried), SlowStart: x.seen.warmth(e), Reported: -1,
		Latency: e.remembered(now),
		Stalled: time.Duration(e.stalled(now)),
		Failing: rateAt(e.failureRate.Load(), now),
	}
	if rif, age, ok := e.Reported(); ok {
		c.Reported, c.ReportAge = rif, age
	}
	if p, ok := x.at.picker.(coster); ok {
		if i, ok := x.places[e]; ok {
			c.Cost = p.cost(&x.seen, i)
		}
	}
	return c
}

// exclusion returns why the call could not go to e, or nothing if it could.
func (x *Explanation) exclusion(e *Endpoint, v *view, now int64, tried []*Endpoint) Exclusion {
	if _, candidate := x.places[e]; !candidate {
		return x.absence(e, v)
	}
	switch {
	case slices.Contains(tried, e):
		return ExcludedTried
	case e.resting(now):
		return ExcludedResting
	default:
		return ""
	}
}

// absence returns why e is no candidate.
func (x *Explanation) absence(e *Endpoint, v *view) Exclusion {
	_, ofPart := x.group[e]
	switch state := e.State(); {
	case state == Draining:
		return ExcludedDraining
	case !v.policy.Select.Matches(e.instance.Load()):
		return ExcludedNotSelected
	case ofPart: // ejected endpoints too, in panic
		return ExcludedOtherZone
	case state == Ejected:
		return ExcludedEjected
	case state == Unreachable:
		return ExcludedUnreachable
	default:
		return ExcludedOtherPart
	}
}
