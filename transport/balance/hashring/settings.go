package hashring

import (
	"cmp"
	"errors"
	"fmt"
)

// Kind is how a table assigns keys to members.
type Kind string

const (
	// Ring: each member owns the keys before its points on a circle. Default.
	Ring Kind = "ring"
	// Maglev: members take turns to fill a table of prime size.
	Maglev Kind = "maglev"
	// Rendezvous: each key ranks all members.
	Rendezvous Kind = "rendezvous"
)

// Defaults and bounds of [Settings].
const (
	DefaultMinPoints = 1024
	DefaultMaxPoints = 1 << 20
	DefaultSlots     = 65537
	// MaxSize bounds the points of a ring and the slots of a Maglev table.
	MaxSize = 1 << 23
)

// Settings choose the kind of a table and its size. All processes that are to
// agree on the owners of keys need the same. A zero field means its default; the
// fields of other kinds are validated and have no effect.
type Settings struct {
	// Kind is Ring, Maglev or Rendezvous. Default Ring.
	Kind Kind `json:"kind,omitzero"`
	// MinPoints and MaxPoints bound the points of a ring. A member has 512
	// points per unit of weight, whoever else there is; but all together have
	// about MinPoints at least and MaxPoints at most, and each at least one. More
	// points make shares more even, and tables larger. Where a bound decides,
	// points per weight change with the set in steps of 6 to 12 %, and a change
	// of the set that takes a step moves about that part of all keys. Default
	// 1,024 and 1,048,576, which is for weights of 2 to 2,048 together: divide
	// all weights by the usual one if that is, say, 100.
	MinPoints int `json:"min_points,omitzero"`
	MaxPoints int `json:"max_points,omitzero"`
	// Slots is the size of a Maglev table, a prime. Shares are exact to one
	// slot: 100 slots per member make that 1 %. Default 65,537.
	Slots int `json:"slots,omitzero"`
}

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	s.Kind = cmp.Or(s.Kind, Ring)
	s.MinPoints = cmp.Or(s.MinPoints, min(DefaultMinPoints, cmp.Or(s.MaxPoints, DefaultMinPoints)))
	s.MaxPoints = cmp.Or(s.MaxPoints, max(DefaultMaxPoints, s.MinPoints))
	s.Slots = cmp.Or(s.Slots, DefaultSlots)
	return s
}

// Validate reports, joined, everything that is wrong with s. The zero Settings
// are valid.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("hashring: "+format, args...))
	}
	s = s.WithDefaults()
	if s.Kind != Ring && s.Kind != Maglev && s.Kind != Rendezvous {
		bad("kind %q: want %q, %q or %q", s.Kind, Ring, Maglev, Rendezvous)
	}
	if s.MinPoints < 1 || s.MinPoints > MaxSize {
		bad("min_points %d: want 1 to %d", s.MinPoints, MaxSize)
	}
	if s.MaxPoints < s.MinPoints || s.MaxPoints > MaxSize {
		bad("max_points %d: want min_points to %d", s.MaxPoints, MaxSize)
	}
	if s.Slots > MaxSize || !isPrime(s.Slots) {
		bad("slots %d: want a prime up to %d", s.Slots, MaxSize)
	}
	return errors.Join(errs...)
}

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}
