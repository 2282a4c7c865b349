package hashring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Member can own keys.
type Member struct {
	// Key identifies the member in all processes. It decides, with the weight,
	// which keys the member owns.
	Key string
	// Weight is the member's part of the keys, relative to the others': from
	// 1e-6 to 1e9. Zero means 1.
	Weight float64
}

const minWeight, maxWeight = 1e-6, 1e9

// A Table knows the owner of every key. It never changes and is safe for
// concurrent use. The zero Table has no members.
type Table struct {
	weights []float64 // by the caller's index
	total   float64   // of weights
	order   []int32   // the caller's indices in the order of the members' keys

	// One of these is set, unless there are no members.
	points locator
	ranked ranking
}

// A locator divides the 64-bit numbers between the members.
type locator interface {
	locate(point uint64) int32
}

// Build returns the table of members. Their order does not matter to who owns
// which keys; it is kept in the indices that the table's methods return. The
// error joins everything that is wrong with s and with the members: weights out
// of range, a key that occurs twice, more members than slots. members is not
// kept. No members make a table without any.
func Build(s Settings, members []Member) (*Table, error) {
	s = s.WithDefaults()
	t := newTable(members)
	if err := errors.Join(s.Validate(), t.validate(s, members)); err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return t, nil
	}
	shares := t.shares(members)
	switch s.Kind {
	case Ring:
		t.points = newRing(shares, pointsPerWeight(t.total, s))
	case Maglev:
		t.points = newMaglev(shares, s.Slots)
	case Rendezvous:
		t.ranked = shares
	}
	return t, nil
}

// newTable returns a table that finds nothing yet.
func newTable(members []Member) *Table {
	t := &Table{weights: make([]float64, len(members)), order: make([]int32, len(members))}
	for i, m := range members {
		t.weights[i] = cmp.Or(m.Weight, 1)
		t.order[i] = int32(i)
	}
	slices.SortFunc(t.order, func(i, j int32) int { return strings.Compare(members[i].Key, members[j].Key) })
	for _, i := range t.order { // in this order, so that the sum rounds alike everywhere
		t.total += t.weights[i]
	}
	return t
}

func (t *Table) validate(s Settings, members []Member) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("hashring: "+format, args...))
	}
	if s.Kind == Maglev && len(members) > s.Slots {
		bad("%d members: want no more than the %d slots", len(members), s.Slots)
	}
	for n, i := range t.order {
		key, w := members[i].Key, t.weights[i]
		if !(w >= minWeight && w <= maxWeight) { // not a number is neither
			bad("member %q: weight %v: want %g to %g", key, w, minWeight, maxWeight)
		}
		if n > 0 && key == members[t.order[n-1]].Key {
			bad("member %q: there are two", key)
		}
	}
	return errors.Join(errs...)
}

// A share is what the kinds need to know of a member.
type share struct {
	seed   uint64 // the hash of its key
	weight float64
	index  int32 // the caller's
}

// shares returns the members in the order of their keys.
func (t *Table) shares(members []Member) []share {
	shares := make([]share, len(t.order))
	for n, i := range t.order {
		shares[n] = share{seed: Sum(members[i].Key), weight: t.weights[i], index: i}
	}
	return shares
}

// Len returns the number of members.
func (t *Table) Len() int { return len(t.order) }

// Lookup returns the index of the member that owns the key with this hash, or -1
// if there are no members. The hash may be any number, as from [Sum]: numbers
// that are close together need not have the same owner.
func (t *Table) Lookup(hash uint64) int {
	switch {
	case t.points != nil:
		return int(t.points.locate(draw(hash, 0)))
	case t.ranked != nil:
		return t.ranked.first(hash)
	}
	return -1
}
