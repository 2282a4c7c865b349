package balance

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance/subset"
)

// Defaults of [Subset], used where a field is zero.
const (
	DefaultSubsetMinEndpoints = 50
	DefaultSubsetSize         = 20
)

// Subset says when a caller uses only a part of a large service: the
// connections of all callers to all endpoints cost more than they are worth.
// Package subset says which part, and what it promises: with peers that are
// known ([Balancer.SetPeers]) no two endpoints differ by more than one caller.
// An endpoint that leaves, or begins to drain, changes at most one of a
// caller's; others are neither picked nor listed by [Balancer.Endpoints].
//
// The parts of a [Split], and the instances that get a [Shadow], have subsets of
// their own, so that none is empty. With policies that go by hash all endpoints
// are used: all callers must agree on who owns a key.
type Subset struct {
	// Disabled uses all endpoints, however many there are.
	Disabled bool `json:"disabled,omitzero"`
	// MinEndpoints is from how many on a part is used. Default 50.
	MinEndpoints int `json:"min_endpoints,omitzero"`
	// Size is how many endpoints are used then. Default 20, or MinEndpoints if
	// that is less.
	Size int `json:"size,omitzero"`
}

func (s *Subset) withDefaults() {
	s.MinEndpoints = cmp.Or(s.MinEndpoints, max(DefaultSubsetMinEndpoints, s.Size))
	s.Size = cmp.Or(s.Size, min(DefaultSubsetSize, s.MinEndpoints))
}

func (s *Subset) validate() error {
	var errs []error
	if s.MinEndpoints < 0 {
		errs = append(errs, fmt.Errorf("balance: subset min_endpoints %d: must not be negative", s.MinEndpoints))
	}
	if s.Size < 0 {
		errs = append(errs, fmt.Errorf("balance: subset size %d: must not be negative", s.Size))
	}
	if s.MinEndpoints > 0 && s.Size > s.MinEndpoints {
		errs = append(errs, fmt.Errorf("balance: subset size %d: must not be above min_endpoints %d", s.Size, s.MinEndpoints))
	}
	return errors.Join(errs...)
}

// narrowed is what was chosen of a class last, and from what: most lists differ
// from the one before in other things than who is in them.
type narrowed struct {
	keys   []string
	size   int
	place  subset.Client
	chosen []int
}

func (n *narrowed) choose(keys []string, size int, place subset.Client) []int {
	if n.chosen == nil || n.size != size || n.place != place || !slices.Equal(n.keys, keys) {
		*n = narrowed{keys, size, place, subset.Choose(keys, size, place)}
	}
	return n.chosen
}

// narrow returns the part of list that this caller uses, in its order. Each
// class of instances, those that the same parts of the calls go to, is narrowed
// by itself. Those that get no calls all stay: they cost nothing.
func (b *Balancer) narrow(list []discovery.Instance) []discovery.Instance {
	p := &b.policy.Subset
	was := b.narrowed
	b.narrowed = map[string]*narrowed{}
	if p.Disabled || len(list) < p.MinEndpoints || b.policy.hashes() {
		return list
	}
	place := b.place()
	byClass := map[string][]int{}
	for i := range list {
		c := b.class(&list[i])
		byClass[c] = append(byClass[c], i)
	}
	var keep []int
	for c, members := range byClass {
		if c == "" || len(members) < p.MinEndpoints {
			keep = append(keep, members...)
			continue
		}
		keys := make([]string, len(members))
		for i, m := range members {
			keys[i] = instanceKey(&list[m])
		}
		n := was[c]
		if n == nil {
			n = &narrowed{}
		}
		b.narrowed[c] = n
		for _, i := range n.choose(keys, p.Size, place) {
			keep = append(keep, members[i])
		}
	}
	slices.Sort(keep)
	part := make([]discovery.Instance, 0, len(keep))
	for _, i := range keep {
		part = append(part, list[i])
	}
	return part
}

// place returns where the caller stands. One without an ID draws a name once:
// otherwise all of them would use the same part, and nobody the rest.
func (b *Balancer) place() subset.Client {
	p := b.peers.Place
	if p.ID == "" && p.Count == 0 {
		if b.drawn == "" {
			b.drawn = strconv.FormatUint(b.rand.Uint64(), 16)
		}
		p.ID = b.drawn
	}
	return p
}

// class names what selects in; it is empty if in gets no calls.
func (b *Balancer) class(in *discovery.Instance) string {
	p := &b.policy
	if in.Weight < 0 {
		return ""
	}
	if len(p.Splits) == 0 && p.Select.empty() && !p.Shadow.on() {
		return "."
	}
	bits := make([]byte, 0, 8)
	add := func(s *Selector) {
		if s.Matches(in) {
			bits = append(bits, '1')
		} else {
			bits = append(bits, '0')
		}
	}
	add(&p.Select)
	if p.Shadow.on() {
		add(&p.Shadow.Select)
	}
	if !bytes.Contains(bits, []byte{'1'}) {
		return ""
	}
	for i := range p.Splits {
		for j := range p.Splits[i].To {
			add(&p.Splits[i].To[j].Selector)
		}
	}
	return string(bits)
}

func instanceKey(in *discovery.Instance) string { return cmp.Or(in.ID, in.Addr) }
