package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FromCode is the source of policies that the program itself has set: by options
// of [NewClient], [Client.SetPolicy] and [Client.SetPolicies].
const FromCode = "code"

// policySet is what the policies are at one time. It is never changed, but
// replaced.
type policySet struct {
	layers  []policyLayer // the first is the program's own; later ones lie over earlier ones
	version int
	changed time.Time
	source  string
}

// policyLayer is what one source says.
type policyLayer struct {
	source   string
	policies Policies
}

// livePolicies are a client's policies.
type livePolicies struct {
	set     atomic.Pointer[policySet] // replaced under Client.mu
	refused atomic.Pointer[PolicyRefusal]

	// changing is held for a whole change, so that services get to see changes
	// in the order in which they were made.
	changing sync.Mutex
}

// PolicyState is what [Client.PolicyState] tells of a client's policies.
type PolicyState struct {
	// Version counts the changes since [NewClient].
	Version int
	// Changed is when the last one was, and Source who made it: [FromCode], or
	// what [Client.SetPoliciesFrom] was given.
	Changed time.Time
	Source  string
	// Sources are all that policies are in force of, the program's own first;
	// what a later one says holds.
	Sources []string
	// Refused is the last change that was refused, nil if none was.
	Refused *PolicyRefusal
}

// PolicyRefusal is a change of policies that was refused.
type PolicyRefusal struct {
	Source string
	At     time.Time
	Err    error
}

// SetPolicy changes the policy of one service, or of all that have none of their
// own if service is empty. See [Client.SetPolicies].
func (c *Client) SetPolicy(service string, p Policy) error {
	return c.changeCode(func(all *Policies) {
		if service == "" {
			all.Default = p
			return
		}
		if all.Services == nil {
			all.Services = map[string]Policy{}
		}
		all.Services[service] = p
	})
}

// RemovePolicy takes the policy of one service back, so that the default holds
// for it. A service without one is no error.
func (c *Client) RemovePolicy(service string) error {
	return c.changeCode(func(all *Policies) { delete(all.Services, service) })
}

// SetPolicies replaces all policies that the program has set, while calls are
// under way. It is all or nothing: if anything is wrong with p, nothing changes,
// and the error joins every reason with the service and the setting.
//
// Calls that begin from now on go by p; those under way keep to the policy that
// they began with, but for what all calls of a service share: breaker, throttle,
// balancer, bulkheads, retry budget and hedging. These take over their new settings at
// once and keep what they have counted and measured. A service whose policy is
// the same as before is left alone.
//
// p must not be changed afterwards. SetPolicies must not be called by a
// subscriber of a breaker.
func (c *Client) SetPolicies(p Policies) error {
	return c.changeCode(func(all *Policies) { *all = p.clone() })
}

// changeCode changes the program's own policies.
func (c *Client) changeCode(change func(*Policies)) error {
	c.live.changing.Lock()
	defer c.live.changing.Unlock()
	next := c.live.set.Load().layers[0].policies.clone()
	change(&next)
	return c.changePolicies(FromCode, next)
}

// SetPoliciesFrom is [Client.SetPolicies] for policies that come from elsewhere,
// such as a file. They lie over the program's own, and over those of sources that
// came before: where both have a policy for a service, the later source's holds,
// and the same goes for the default, unless it is the zero Policy. An empty p
// takes back what the source has said. source is how logs and /debug/gabion name
// it; it must not be [FromCode].
func (c *Client) SetPoliciesFrom(source string, p Policies) error {
	if source == FromCode {
		return fmt.Errorf("transport: policies from %q: the name is taken", source)
	}
	c.live.changing.Lock()
	defer c.live.changing.Unlock()
	return c.changePolicies(source, p.clone())
}

// ValidatePolicies reports what [Client.SetPolicies] would refuse.
func (c *Client) ValidatePolicies(p Policies) error {
	return c.cfg.validate(p)
}

// changePolicies makes p what source says and brings the services in use up to
// date.
func (c *Client) changePolicies(source string, p Policies) error {
	if err := c.ValidatePolicies(p); err != nil {
		c.live.refused.Store(&PolicyRefusal{Source: source, At: time.Now(), Err: err})
		c.cfg.log.Warn("transport: policies refused, the last ones stay in force", "source", source, "error", err)
		return err
	}
	before := c.live.set.Load()
	next := before.with(source, p)
	if reflect.DeepEqual(before.layers, next.layers) {
		return nil
	}
	c.mu.Lock() // a service that is being made has either set
	c.live.set.Store(next)
	services := *c.services.Load()
	c.mu.Unlock()
	changed := map[string]bool{}
	var errs []error
	for key, s := range services {
		policy := next.policyFor(key.host)
		if reflect.DeepEqual(policy, s.plan.Load().policy) {
			continue
		}
		changed[key.host] = true
		if err := s.adopt(policy); err != nil {
			errs = append(errs, fmt.Errorf("transport: policy of %q: %w", key.host, err))
		}
	}
	c.cfg.log.Info("transport: policies changed", "source", source, "version", next.version,
		"services", slices.Sorted(maps.Keys(changed)))
	return errors.Join(errs...)
}

// adopt makes p, which is valid, the service's policy.
func (s *service) adopt(p Policy) error {
	next, err := newPlan(p, s.plan.Load())
	if err != nil {
		return err
	}
	s.plan.Store(next)
	s.bulkhead.Update(p.Limit)
	return errors.Join(s.breaker.Update(p.Breaker), s.balancer.SetPolicy(p.Balance), s.throttle.Update(p.Throttle), s.budget.Update(p.Retry.Budget))
}

// with returns the set with p as what source says.
func (set *policySet) with(source string, p Policies) *policySet {
	next := &policySet{
		layers: slices.Clone(set.layers), version: set.version + 1, changed: time.Now(), source: source,
	}
	i := slices.IndexFunc(next.layers, func(l policyLayer) bool { return l.source == source })
	switch {
	case i < 0 && p.empty():
	case i < 0:
		next.layers = append(next.layers, policyLayer{source, p})
	case i > 0 && p.empty():
		next.layers = slices.Delete(next.layers, i, i+1)
	default:
		next.layers[i].policies = p
	}
	return next
}

// empty reports whether p says nothing.
func (p *Policies) empty() bool { return len(p.Services) == 0 && !p.hasDefault() }

// policyFor returns the policy of service.
func (set *policySet) policyFor(service string) Policy {
	p, _ := set.find(service)
	return p
}

// find returns the policy of service and the source that it is from. That of a
// service's own goes before any default.
func (set *policySet) find(service string) (Policy, string) {
	for _, l := range slices.Backward(set.layers) {
		if p, ok := l.policies.Services[service]; ok {
			return p, l.source
		}
	}
	for _, l := range slices.Backward(set.layers) {
		if l.policies.hasDefault() {
			return l.policies.Default, l.source
		}
	}
	return Policy{}, FromCode
}

// PolicyFor returns the policy in force for service, as it was set:
// [Policy.WithDefaults] fills in the rest.
func (c *Client) PolicyFor(service string) Policy { return c.live.set.Load().policyFor(service) }

// PolicySource returns where the policy in force for service is from:
// [FromCode], or a source given to [Client.SetPoliciesFrom].
func (c *Client) PolicySource(service string) string {
	_, source := c.live.set.Load().find(service)
	return source
}

// Policies returns all policies in force, whatever they are from.
func (c *Client) Policies() Policies {
	set := c.live.set.Load()
	all := Policies{Services: map[string]Policy{}}
	for _, l := range set.layers {
		if l.policies.hasDefault() {
			all.Default = l.policies.Default
		}
		maps.Copy(all.Services, l.policies.Services)
	}
	return all
}

// PolicyState tells how the policies in force came about.
func (c *Client) PolicyState() PolicyState {
	set := c.live.set.Load()
	s := PolicyState{Version: set.version, Changed: set.changed, Source: set.source, Refused: c.live.refused.Load()}
	for _, l := range set.layers {
		s.Sources = append(s.Sources, l.source)
	}
	return s
}

// WithLogger sets where a client logs that its policies have changed or that a
// change was refused. Default nowhere.
func WithLogger(l *slog.Logger) ClientOption {
	return clientOption(func(c *clientConfig) { c.log = orDiscard(l) })
}
