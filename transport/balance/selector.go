package balance

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-go/gabion/discovery"
)

// A Selector names some of a service's instances. The zero Selector names all.
type Selector struct {
	// Version is the one that they must be of. Empty is any.
	Version string `json:"version,omitzero"`
	// Tags are those that they must all have.
	Tags []string `json:"tags,omitzero"`
	// Meta are entries that they must all have.
	Meta map[string]string `json:"meta,omitzero"`
}

// Matches reports whether s names in.
func (s *Selector) Matches(in *discovery.Instance) bool {
	if s.Version != "" && s.Version != in.Version {
		return false
	}
	for _, t := range s.Tags {
		if !slices.Contains(in.Tags, t) {
			return false
		}
	}
	for k, v := range s.Meta {
		if got, ok := in.Meta[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func (s *Selector) clone() Selector {
	return Selector{Version: s.Version, Tags: slices.Clone(s.Tags), Meta: maps.Clone(s.Meta)}
}

func (s *Selector) empty() bool { return s.Version == "" && len(s.Tags) == 0 && len(s.Meta) == 0 }

// A Source is where a request carries a value: exactly one of its fields is the
// name of a header, a cookie or a parameter of the URL.
type Source struct {
	Header string `json:"header,omitzero"`
	Cookie string `json:"cookie,omitzero"`
	Query  string `json:"query,omitzero"`
}

func (s Source) validate() error {
	n := 0
	for _, name := range []string{s.Header, s.Cookie, s.Query} {
		if name != "" {
			n++
		}
	}
	if n != 1 {
		return errors.New("want one of header, cookie and query")
	}
	return nil
}

// A Condition speaks of some calls. The zero Condition speaks of all.
type Condition struct {
	Source
	// Value is what the source must hold; empty is anything but nothing.
	Value string `json:"value,omitzero"`
}

func (c *Condition) all() bool { return *c == Condition{} }

// holds reports whether c speaks of the call.
func (c *Condition) holds(call *Call) bool {
	if c.all() {
		return true
	}
	got := call.from(c.Source)
	return got != "" && (c.Value == "" || c.Value == got)
}

// A Split sends parts of the calls to parts of the instances: a canary, a
// version for those who ask for it, a move from one version to the next.
//
//	{"when": {"header": "X-Canary", "value": "yes"}, "to": [{"version": "v2", "percent": 100}]}
//	{"to": [{"version": "v2", "percent": 5}], "by": [{"cookie": "session"}]}
//
// What is left of 100 percent goes to the instances that none of To names. While
// no instance of a part is available its calls go to all, but for those that are
// risked on the ones left out: a canary that is gone costs nobody an answer.
// Each attempt of a call is assigned anew, unless By ties it.
type Split struct {
	// When says of which calls it speaks. Of several splits the first that
	// speaks of a call decides.
	When Condition `json:"when,omitzero"`
	// To are the parts, of 100 percent together at most.
	To []Share `json:"to"`
	// By is where a call's key is looked for, first to last: calls with the same
	// key go to the same part, on all clients. Calls without any are assigned
	// at random.
	By []Source `json:"by,omitzero"`
}

// A Share is a part of a [Split].
type Share struct {
	Selector
	// Percent of the calls, from 0 to 100.
	Percent float64 `json:"percent"`
}

func (s *Split) clone() Split {
	c := Split{When: s.When, To: slices.Clone(s.To), By: slices.Clone(s.By)}
	for i := range c.To {
		c.To[i].Selector = c.To[i].clone()
	}
	return c
}

func (s *Split) validate(i int) (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: split %d: "+format, append([]any{i + 1}, args...)...))
	}
	if !s.When.all() {
		if err := s.When.validate(); err != nil {
			bad("when: %w", err)
		}
	}
	if len(s.To) == 0 {
		bad("to nobody: want at least one share")
	}
	sum := 0.0
	for j, to := range s.To {
		if !(to.Percent >= 0 && to.Percent <= 100) { // NaN too
			bad("share %d: percent %v: want 0 to 100", j+1, to.Percent)
		}
		if to.empty() {
			bad("share %d: names no version, tags or meta", j+1)
		}
		sum += to.Percent
	}
	if sum > 100+1e-9 {
		bad("its shares have %v percent: want at most 100", sum)
	}
	for j, by := range s.By {
		if err := by.validate(); err != nil {
			bad("by %d: %w", j+1, err)
		}
	}
	return errs
}

// clone returns a copy of p that shares no memory with it: picks go by it at any
// time, while p is the caller's to change.
func (p Policy) clone() Policy {
	p.Hash.By = slices.Clone(p.Hash.By)
	p.Select, p.Shadow.Select = p.Select.clone(), p.Shadow.Select.clone()
	p.Splits = slices.Clone(p.Splits)
	for i := range p.Splits {
		p.Splits[i] = p.Splits[i].clone()
	}
	return p
}
