package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

// shrinkRuns bounds how many runs the search for a smaller failure may take.
const shrinkRuns = 500

// A shrinker looks for smaller inputs that fail in the same way. A candidate
// fails in the same way if both panic, or neither does.
type shrinker struct {
	panics bool
	runs   int
	until  time.Time // zero is never
}

func newShrinker(t *testing.T, err error) *shrinker {
	s := &shrinker{panics: panicked(err)}
	if end, ok := t.Deadline(); ok {
		s.until = end.Add(-time.Until(end) / 4) // the rest is for other tests
	}
	return s
}

func panicked(err error) bool {
	e, ok := errors.AsType[*bubble.Error](err)
	return ok && e.Panic != nil
}

// over reports whether the search has taken all that it may.
func (s *shrinker) over() bool {
	return s.runs >= shrinkRuns || !s.until.IsZero() && time.Now().After(s.until)
}

// same runs a candidate and reports whether it fails in the same way. Once the
// search is over nothing does.
func (s *shrinker) same(run func() error) bool {
	if s.over() {
		return false
	}
	s.runs++
	err := run()
	return err != nil && panicked(err) == s.panics
}

func (s *shrinker) summary(before, after int) string {
	end := "the smallest part that fails"
	if s.over() {
		end = "the smallest part that was found to fail in the time there was"
	}
	return fmt.Sprintf("shrunk from %d faults to %d in %d runs; %s:", before, after, s.runs, end)
}

// faults looks for fewer faults that fail, and then for shorter ones.
func (s *shrinker) faults(all []Fault, run func([]Fault) error) []Fault {
	least := slices.Clone(s.fewerFaults(all, run))
	for i := range least {
		least[i].For = s.shorter(least[i].For, func(d time.Duration) error {
			some := slices.Clone(least)
			some[i].For = d
			return run(some)
		})
	}
	return least
}

func (s *shrinker) fewerFaults(all []Fault, run func([]Fault) error) []Fault {
	return ddmin(all, func(some []Fault) bool { return s.same(func() error { return run(some) }) })
}

// leastFault is the duration below which a fault is not shortened further.
const leastFault = 10 * time.Millisecond

// shorter halves d as long as that fails.
func (s *shrinker) shorter(d time.Duration, run func(time.Duration) error) time.Duration {
	for {
		half := (d / 2).Round(time.Millisecond)
		if half < leastFault || !s.same(func() error { return run(half) }) {
			return d
		}
		d = half
	}
}

// ddmin returns some elements of all, in their order, that fail and of which
// none can be left out; all if they do not fail. It takes for granted that all
// fail. Source: ddmin, Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input", IEEE TSE 28(2), 2002, doi:10.1109/32.988498.
func ddmin[T any](all []T, fails func([]T) bool) []T {
	if len(all) == 0 || fails(nil) {
		return nil
	}
	for parts := 2; len(all) > 1; {
		some, left := reduce(all, parts, fails)
		switch {
		case some != nil:
			all, parts = some, max(2, left)
		case parts == len(all):
			return all
		default:
			parts = 2 * parts
		}
		parts = min(parts, len(all))
	}
	return all
}

// reduce cuts all into parts and looks for one that fails by itself, then for
// one without which the others fail. It returns nil if there is none, and into
// how many parts the result is to be cut next.
func reduce[T any](all []T, parts int, fails func([]T) bool) (some []T, next int) {
	at := func(i int) int { return i * len(all) / parts }
	for i := range parts {
		if one := all[at(i):at(i+1)]; fails(slices.Clone(one)) {
			return slices.Clone(one), 2
		}
	}
	if parts == 2 { // the others are the parts that were tried
		return nil, 0
	}
	for i := range parts {
		if others := slices.Concat(all[:at(i)], all[at(i+1):]); fails(slices.Clone(others)) {
			return others, parts - 1
		}
	}
	return nil, 0
}

// describe writes plain data as JSON and as Go.
func describe(v any) string {
	var b strings.Builder
	b.WriteString(indentJSON(v))
	b.WriteString("\n\n")
	b.WriteString(goLiteral(v))
	return b.String()
}
