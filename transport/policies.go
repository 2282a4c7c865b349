package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Policies are what is in force for all services of a client. It is plain data,
// and in JSON reads
//
//	{"default": {"timeout": "2s"}, "services": {"pricing": {"timeout": "500ms"}}}
//
// The policy of a service is whole: it is not laid over the default, and its
// zero fields stand for the documented defaults.
type Policies struct {
	// Default is the policy of services that have none of their own.
	Default Policy
	// Services are policies by what stands in a URL's host.
	Services map[string]Policy
}

type policiesJSON struct {
	Default  Policy            `json:"default,omitzero"`
	Services map[string]Policy `json:"services,omitempty"`
}

// MarshalJSON writes what is set.
func (p Policies) MarshalJSON() ([]byte, error) { return json.Marshal(policiesJSON(p)) }

// UnmarshalJSON reads policies. What is absent keeps its value, and services are
// added to those that are there, or replace them; names that are unknown are
// refused. The error joins what is wrong with each service. It checks form only:
// call [Policies.Validate] for the rest. After an error p is unchanged.
func (p *Policies) UnmarshalJSON(data []byte) error {
	var parts struct {
		Default  json.RawMessage            `json:"default"`
		Services map[string]json.RawMessage `json:"services"`
	}
	if err := strictjson.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("transport: policies: %w", err)
	}
	next := p.clone()
	if next.Services == nil && len(parts.Services) > 0 {
		next.Services = map[string]Policy{}
	}
	var errs []error
	if parts.Default != nil {
		if err := json.Unmarshal(parts.Default, &next.Default); err != nil {
			errs = append(errs, fmt.Errorf("transport: default policy: %w", err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(parts.Services)) {
		var policy Policy // whole: not laid over one that is there
		if err := json.Unmarshal(parts.Services[name], &policy); err != nil {
			errs = append(errs, fmt.Errorf("transport: policy of %q: %w", name, err))
		}
		next.Services[name] = policy
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	*p = next
	return nil
}

// ParsePolicies reads a document that holds Policies and nothing else. Beyond
// what UnmarshalJSON refuses it refuses members that stand twice, which one of
// them would win in silence, and says on which line a document is not JSON. The
// result is not validated.
func ParsePolicies(data []byte) (Policies, error) {
	var p Policies
	err := parseDocument(data, &p)
	return p, err
}

// ParsePolicy is [ParsePolicies] for a document that holds one [Policy].
func ParsePolicy(data []byte) (Policy, error) {
	var p Policy
	err := parseDocument(data, &p)
	return p, err
}

// parseDocument reads one JSON object.
func parseDocument(data []byte, v any) error {
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return errors.New("transport: policies: the document is empty; {} stands for the defaults")
	}
	if text[0] != '{' {
		return errors.New("transport: policies: want a JSON object")
	}
	if err := checkJSONShape(data); err != nil {
		return fmt.Errorf("transport: policies: %w", err)
	}
	err := json.Unmarshal(data, v)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(data[:min(int(e.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("transport: policies: not JSON in line %d: %w", line, err)
	}
	return err
}

// Validate reports every setting that makes no sense, joined, each with the
// service that it is of. Custom are as in [Policy.Validate].
func (p Policies) Validate(custom ...string) error {
	var errs []error
	for _, err := range apart(p.Default.Validate(custom...)) {
		errs = append(errs, fmt.Errorf("transport: default policy: %w", err))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		policy := p.Services[name]
		for _, err := range append(apart(validateHost(name)), apart(policy.Validate(custom...))...) {
			errs = append(errs, fmt.Errorf("transport: policy of %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// validateHost reports what no call can have as its URL's host.
func validateHost(name string) error {
	if external(name) {
		return nil
	}
	return discovery.ValidateName(name)
}

// apart returns the errors that err joins, those that they join, and so on.
func apart(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, apart(e)...)
	}
	return all
}

// hasDefault reports whether p says anything of services that it does not name.
func (p *Policies) hasDefault() bool { return !reflect.ValueOf(p.Default).IsZero() }

// clone returns p with a map of its own.
func (p Policies) clone() Policies {
	p.Services = maps.Clone(p.Services)
	return p
}

// AtRoute returns what calls that match the pattern of a route go by: p with what
// the route has of its own, the route's bound on calls in flight as Limit, and no
// routes. It is p itself if there is no such route.
func (p Policy) AtRoute(pattern string) Policy {
	r, ok := p.Routes[pattern]
	if !ok {
		return p
	}
	return r.over(p)
}
