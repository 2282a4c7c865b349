package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// Validate reports, joined, everything that is wrong with s: each part by
// itself, and names of whom there is not.
func (s Scenario) Validate() error {
	v := &validation{scenario: s}
	if s.Duration < 0 {
		v.bad("duration %v: must not be negative; 0s is until all loads have ended", s.Duration)
	}
	v.wrap("latency", s.Latency.Validate())
	if len(s.Services) == 0 {
		v.bad("services: want at least one")
	}
	for i, spec := range s.Services {
		v.service(fmt.Sprintf("services[%d]", i), spec)
	}
	v.unique()
	v.circle()
	for i, l := range s.Loads {
		v.load(fmt.Sprintf("loads[%d]", i), l)
	}
	for i, f := range s.Faults {
		v.fault(fmt.Sprintf("faults[%d]", i), f)
	}
	return errors.Join(v.errs...)
}

type validation struct {
	scenario Scenario
	errs     []error
}

func (v *validation) bad(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("transporttest: scenario: "+format, args...))
}

// wrap adds where to each error that err joins.
func (v *validation) wrap(where string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			v.wrap(where, e)
		}
		return
	}
	if err != nil {
		v.errs = append(v.errs, &partError{where, err})
	}
}

// partError is what is wrong with a part of a scenario.
type partError struct {
	where string
	err   error
}

func (e *partError) Error() string {
	return "transporttest: scenario: " + e.where + ": " + strings.TrimPrefix(e.err.Error(), "transporttest: ")
}

func (e *partError) Unwrap() error { return e.err }

func (v *validation) service(where string, s ServiceSpec) {
	if err := discovery.ValidateName(s.Name); err != nil {
		v.bad("%s: name: %w", where, err)
	} else {
		where = fmt.Sprintf("%s %q", where, s.Name)
	}
	if s.Name == registryHost {
		v.bad("%s: the name is that of the registry's host", where)
	}
	if s.Replicas < 0 || s.Replicas > maxReplicas {
		v.bad("%s: replicas %d: want 1 to %d, or 0 for one", where, s.Replicas, maxReplicas)
	}
	v.behaviour(where+": behaviour", s.Behaviour)
}

func (v *validation) behaviour(where string, b Behaviour) {
	v.wrap(where+": work", b.Work.Validate())
	if !(b.Cores >= 0) || b.Cores > maxReplicas {
		v.bad("%s: cores %v: want 0 to %d; 0 is as many as it takes", where, b.Cores, maxReplicas)
	}
	if b.Cores > 0 && !isSet(b.Work) {
		v.bad("%s: cores %v: without work nobody needs them; set work", where, b.Cores)
	}
	if b.Workers < 0 {
		v.bad("%s: workers %d: must not be negative; 0 is any number", where, b.Workers)
	}
	if b.Backlog != 0 && b.Workers == 0 {
		v.bad("%s: backlog %d: nobody waits without workers; set workers", where, b.Backlog)
	}
	if !(b.Failures >= 0 && b.Failures <= 1) {
		v.bad("%s: failures %v: want a share from 0 to 1", where, b.Failures)
	}
	for i, call := range b.Calls {
		if name := callee(call); v.spec(name) == nil {
			v.bad("%s: calls[%d] %.80q: there is no service %.40q; services are %v", where, i, call, name, v.serviceNames())
		}
	}
	if b.Parallel && len(b.Calls) < 2 {
		v.bad("%s: parallel: there are %d calls, nothing to do at once; leave it out", where, len(b.Calls))
	}
}

// callee is the service that a call of a Behaviour goes to.
func callee(call string) string {
	name, _, _ := strings.Cut(call, "/")
	return name
}

func (v *validation) spec(service string) *ServiceSpec {
	for i := range v.scenario.Services {
		if v.scenario.Services[i].Name == service {
			return &v.scenario.Services[i]
		}
	}
	return nil
}

func (v *validation) serviceNames() []string {
	var names []string
	for _, s := range v.scenario.Services {
		names = append(names, s.Name)
	}
	return names
}

// unique reports names that mean more than one service or host.
func (v *validation) unique() {
	seen := map[string]int{}
	for i, s := range v.scenario.Services {
		if before, twice := seen[s.Name]; twice {
			v.bad("services: %q is services[%d] and services[%d]; rename one", s.Name, before, i)
			continue
		}
		seen[s.Name] = i
	}
	for i, s := range v.scenario.Services {
		for _, host := range s.hosts() {
			if other, taken := seen[host]; taken {
				v.bad("services: %q is services[%d] and a host of services[%d]; rename one", host, other, i)
			}
		}
	}
}

// circle reports services that call each other in a circle: a request would
// never end.
func (v *validation) circle() {
	done := map[string]bool{}
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if i := slices.Index(path, name); i >= 0 {
			v.bad("services: they call each other in a circle: %s", strings.Join(append(path[i:], name), " > "))
			return
		}
		spec := v.spec(name)
		if spec == nil || done[name] {
			return
		}
		for _, call := range spec.Behaviour.Calls {
			visit(callee(call), append(slices.Clone(path), name))
		}
		done[name] = true
	}
	for _, name := range v.serviceNames() {
		visit(name, nil)
	}
}

func (v *validation) load(where string, l load.Load) {
	v.wrap(where, l.Validate())
	if l.Service != "" && v.spec(l.Service) == nil {
		v.bad("%s: there is no service %.40q; services are %v", where, l.Service, v.serviceNames())
	}
	if v.spec(l.Client) != nil || l.Client == registryHost || l.Client == Everyone {
		v.bad("%s: client %q: want one host, such as web", where, l.Client)
	}
	d := v.scenario.Duration
	if d == 0 && l.For == 0 && endless(l) {
		v.bad("%s: it would never end; set its for, or the scenario's duration", where)
	}
	if d > 0 && l.Start >= d {
		v.bad("%s: start %v: the scenario ends at %v", where, l.Start, d)
	}
}

// endless reports whether a load without a length goes on for ever.
func endless(l load.Load) bool {
	return l.Kind != load.Replay && (l.Kind != load.Burst || l.Every > 0)
}

func (v *validation) fault(where string, f Fault) {
	v.wrap(where, f.Validate())
	for _, name := range []string{f.On, f.From, f.To} {
		if !v.knows(name) {
			v.bad("%s: there is no host or service %.40q; services are %v, clients %v", where, name, v.serviceNames(), v.clients())
		}
	}
}

// knows reports whether a fault may name this host or service.
func (v *validation) knows(name string) bool {
	if name == "" || name == Everyone || name == registryHost || slices.Contains(v.clients(), name) {
		return true
	}
	return slices.ContainsFunc(v.scenario.Services, func(s ServiceSpec) bool {
		return s.Name == name || strings.HasPrefix(name, s.Name+"-") && slices.Contains(s.hosts(), name)
	})
}

func (v *validation) clients() []string {
	var names []string
	for _, l := range v.scenario.Loads {
		if l.Client != "" && !slices.Contains(names, l.Client) {
			names = append(names, l.Client)
		}
	}
	return names
}
